"""A shelf: one file a baseline."""
