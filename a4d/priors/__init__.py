"""Diffusion priors: what models trained on images, multi-views and videos know about how things look."""
