"""People as other programs followed them: a module per layout, each recognised by what is in it."""
