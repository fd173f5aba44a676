"""SemanticGAN: a StyleGAN2 that draws the layout beside the image.

`network` is the generator with the layout's branch, `training` and `model` what the commands take.
"""
