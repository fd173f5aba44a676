"""Records in; tables, curves, figures and comparisons out."""
