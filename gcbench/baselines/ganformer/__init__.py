"""GANformer: StyleGAN2 whose maps and latents attend to each other.

`attention` is its idea, `network` the generator with it, `training` and `model` what the commands take.
"""
