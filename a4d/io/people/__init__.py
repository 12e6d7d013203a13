"""Data sets of people in front of a camera, with masks and poses: a module per layout."""
