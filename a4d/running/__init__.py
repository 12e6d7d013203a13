"""Running a stage: what is to be done, doing it, and what may go wrong."""
