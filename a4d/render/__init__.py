"""Renderers, each one function over interchangeable backends."""
