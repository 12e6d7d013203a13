"""Fitting a scene: the settings of a run, their schedules, and the videos that priors make for it."""
