"""Released diffusion models of other groups, in the layout of diffusers: one module per family."""
