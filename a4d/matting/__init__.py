"""Cutting a subject out of its background."""
