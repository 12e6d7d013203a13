"""Scenes: anything with parameters that can be rendered, optimised, saved and exported."""
