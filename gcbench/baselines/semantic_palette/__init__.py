"""Semantic Palette: what share of an image each class takes is drawn first, then a layout that keeps to it, then the
image. With `palette=false` it is SB-GAN.

`prior` knows the shares, `assisted` the activation that keeps to them and its losses, `layout_gan` draws layouts,
`network` is all that sampling needs, `training` the three stages, `model` the baseline.
"""
