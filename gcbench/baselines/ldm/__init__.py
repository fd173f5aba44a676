"""ldm: latent diffusion (Rombach et al. 2022), and the reconstruction of its autoencoder as a row of its own.

`config` shapes everything, `autoencoder` takes images to latents and back, `foreign` opens one that others trained,
`network` adds the U-Net and the text encoder, `process` is the noise, `sampling` draws, `training` is the recipe in two
stages, `model` and `reconstruction` are the two baselines. Needs the extra `diffusers`, imported when first used.
"""
