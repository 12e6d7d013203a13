"""The package's own small multi-view video diffusion model."""
