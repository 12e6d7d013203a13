"""Assets as plain data: nodes, meshes, skins, materials and clips; how they are put together, placed and posed."""
