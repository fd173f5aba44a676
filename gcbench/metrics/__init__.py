"""A shelf: one file a metric."""
