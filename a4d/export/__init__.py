"""Scenes on their way out: what is exported, as which surfaces, Gaussians and films; every file is read back."""
