"""Meshes, rigs and motions: a file per format."""
