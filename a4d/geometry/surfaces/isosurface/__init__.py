"""Differentiable triangle meshes of signed distances on grids: marching tetrahedra and FlexiCubes."""
