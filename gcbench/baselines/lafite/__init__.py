"""Lafite (Zhou et al. 2022): a StyleGAN2 that reads a text's feature in every modulated layer.

`pseudo` makes text features out of pictures, `contrastive` says how well pictures and texts go together, `encoder`
places both in one space, `network` draws and judges, `training` is the recipe, `model` the baseline.
"""

from gcbench.baselines.lafite.model import Lafite

__all__ = ["Lafite"]
