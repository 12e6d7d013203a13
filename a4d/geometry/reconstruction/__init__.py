"""Shapes out of pictures: inflated outlines, visual hulls, fused depth, and their colours."""
