"""Networks that judge."""
