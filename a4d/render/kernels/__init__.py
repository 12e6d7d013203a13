"""Numba kernels on contiguous arrays; what is differentiable about them lives one folder up."""
