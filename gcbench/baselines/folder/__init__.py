"""Finished output of the official repositories, measured as a model: images are read, never generated.

`formats` knows what each repository writes and where, `gcdp_sheets` takes GCDP's sheets apart, `colours` reads layouts
that repositories coloured in ways of their own, `model` is the baseline.
"""
