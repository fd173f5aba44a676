"""The engine: one-pass evaluation, sweeps, tables, figures."""
