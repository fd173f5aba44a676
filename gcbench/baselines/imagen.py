"""Imagen-style text-to-image diffusion (Saharia et al. 2022): GCDP's network and code with the layout channels off.

What separates this baseline from the reference model is the layout and nothing else: the same U-Net, text encoder,
image schedule, guidance, trainer and sampler. It draws no layouts, so mIoU and FSD are skipped for it.
"""

from typing import ClassVar

from gcbench.gcdp.model import GCDP


class Imagen(GCDP):
    """Draws an image from a text, with guidance."""

    name: ClassVar[str] = "imagen"
    recipe_class: ClassVar[str] = "gcbench.gcdp.training:ImageRecipe"
    layouts = False
