"""Gaussians that move over a clip: the shape at rest, and the kinds of motion that carry it."""
