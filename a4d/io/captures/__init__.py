"""Photographs and films with cameras: a file per convention."""
