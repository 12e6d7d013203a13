"""Scenes whose shape at rest is moved by bones that nobody named, whatever the shape is made of."""
