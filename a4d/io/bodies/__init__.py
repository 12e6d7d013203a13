"""Body models in files: the user's SMPL and SMPL-X, and the open one that comes with the package."""
