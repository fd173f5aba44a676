"""Lafite (Zhou et al. 2022): a StyleGAN2 that reads a text's feature in every modulated layer.

`pseudo` makes text features out of images, `contrastive` says how well images and texts go together, `encoder`
places both in one space, `network` draws and discriminates, `training` is the recipe, `model` the baseline.
"""
