"""Finished output of the official repositories, measured as a model: images are read, never generated.

`forms` knows what each repository writes and where, `grids` takes GCDP's sheets apart, `colours` reads layouts that
repositories coloured in ways of their own, `band` cuts letterboxes off, `model` is the baseline.
"""

from gcbench.baselines.folder.model import Folder

__all__ = ["Folder"]
