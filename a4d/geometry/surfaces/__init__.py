"""Surfaces: their distance fields, extraction, polygons, tangents and texture coordinates."""
