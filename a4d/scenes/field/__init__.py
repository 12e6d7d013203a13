"""Density and colour in a cube of space, still or over a clip, rendered by marching rays."""
