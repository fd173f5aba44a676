"""Bundled weights, and where weights are looked for."""
