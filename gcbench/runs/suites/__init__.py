"""Suites: a list of trainings and sweeps under one budget, which together make one table or figure.

A suite is a TOML file: ours lie beside this one, a user's own is given by its path.
"""
