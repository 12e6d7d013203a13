"""MV-VDM, the multi-view video diffusion model of Animate3D (Jiang et al. 2024)."""
