"""Networks that measure."""
