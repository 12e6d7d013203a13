"""Objectives: what a scene's renders should satisfy."""
