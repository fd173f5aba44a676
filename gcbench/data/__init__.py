"""Datasets and captions."""
