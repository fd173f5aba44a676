"""DatasetGAN: images by a StyleGAN2, layouts by pixel classifiers that read its features.

`features` takes them, and finds the styles of real images; the classifiers are those of `dataset_ddpm`.
"""
