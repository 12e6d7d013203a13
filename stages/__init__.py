"""The stages of a pipeline: one module per sub-command, none of which imports another."""
