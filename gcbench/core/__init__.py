"""Contracts that everything else is written against. Imports nothing else of gcbench."""
