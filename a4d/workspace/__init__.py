"""The workspace on disk: its format, its records, and how a stage commits its outputs."""
