"""CelebAMask-HQ's parts of a face, in the order of its merged masks: what `celeba` and `faces` share.

Source of names, ids and colours: CelebAMask-HQ (Lee et al. 2020, "MaskGAN"). There is no void: what is no part is
background. A part that is hidden is absent from a layout.
"""

from collections.abc import Mapping

from gcbench.data.class_tables import colours, words

CLASSES = (
    *("background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip"),
    *("l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth"),
)
"""eye_g: eyeglasses. mouth: what shows between the lips. ear_r: earrings. neck_l: a necklace."""

PALETTE = colours(
    "000000 cc0000 4c9900 cccc00 3333ff cc00cc 00ffff ffcccc 663300 ff0000 "
    "66cc00 ffff00 000099 0000cc ff3399 00cccc 003300 ff9933 00cc00"
)

MIRROR = tuple(
    CLASSES.index({"l": "r", "r": "l"}[name[0]] + name[1:]) if name[:2] in ("l_", "r_") and name != "l_lip" else i
    for i, name in enumerate(CLASSES)
)
"""l_eye becomes r_eye and so on; l_lip is the lower lip and stays."""

ALIASES: Mapping[str, tuple[str, ...]] = {
    "eye_g": words("eyeglasses eyeglass eye_glasses glasses spectacles specs sunglasses"),
    "mouth": words(
        "mouth_slightly_open mouth_is_slightly_open slightly_open_mouth slightly_opened_mouth open_mouth opened_mouth"
        " mouth_open mouth_is_open"
    ),
    "hair": ("hair", "haired", "hairstyle", "ponytail", "curls"),
    "hat": words("hat+ cap+ beanie+ beret+ fedora+ bonnet+"),
    "ear_r": words("earring+ ear_ring+"),
    "neck_l": ("necklace", "necklaces"),
}
"""The parts whose presence a text can decide. The others are in nearly every image and say nothing of a text."""
