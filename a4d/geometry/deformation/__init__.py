"""Shapes that move: skeletons, skinning, nodes along a surface, rigidity, motion on another body."""
