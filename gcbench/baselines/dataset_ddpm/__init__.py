"""DatasetDDPM: images by an unconditional diffusion network, layouts by pixel classifiers that read its features.

`features` takes a U-Net's decoder features of finished images, `ensemble` is the classifiers and their vote,
`annotator` puts both together, `training` is the recipe, `model` the baseline.
"""
