"""Commands that inspect or prepare and are no stage of a pipeline."""
