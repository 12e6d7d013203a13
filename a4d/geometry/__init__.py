"""Data and pure functions of space: transforms, cameras, Gaussians, meshes, and shapes made from silhouettes."""
