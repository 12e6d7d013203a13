"""Textured, jointed objects of a few primitives that move by name, rendered from several sides with captions."""
