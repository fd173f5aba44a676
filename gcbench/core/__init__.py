"""Contracts that everything else is written against. Imports nothing else of gcbench."""

__version__ = "0.1.0"
