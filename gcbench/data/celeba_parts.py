"""CelebAMask-HQ's parts of a face, in the order of its merged masks: what `celeba` and `faces` share.

Source of names, ids and colours: CelebAMask-HQ (Lee et al. 2020, "MaskGAN"). There is no void: what is no part is
background. A part that is hidden is absent from a layout.
"""

from collections.abc import Mapping

CLASSES = (
    "background",
    "skin",
    "nose",
    "eye_g",
    "l_eye",
    "r_eye",
    "l_brow",
    "r_brow",
    "l_ear",
    "r_ear",
    "mouth",
    "u_lip",
    "l_lip",
    "hair",
    "hat",
    "ear_r",
    "neck_l",
    "neck",
    "cloth",
)
"""eye_g: eyeglasses. mouth: what shows between the lips. ear_r: earrings. neck_l: a necklace."""

PALETTE = (
    (0, 0, 0),
    (204, 0, 0),
    (76, 153, 0),
    (204, 204, 0),
    (51, 51, 255),
    (204, 0, 204),
    (0, 255, 255),
    (255, 204, 204),
    (102, 51, 0),
    (255, 0, 0),
    (102, 204, 0),
    (255, 255, 0),
    (0, 0, 153),
    (0, 0, 204),
    (255, 51, 153),
    (0, 204, 204),
    (0, 51, 0),
    (255, 153, 51),
    (0, 204, 0),
)

MIRROR = tuple(
    CLASSES.index({"l": "r", "r": "l"}[name[0]] + name[1:]) if name[:2] in ("l_", "r_") and name != "l_lip" else i
    for i, name in enumerate(CLASSES)
)
"""l_eye becomes r_eye and so on; l_lip is the lower lip and stays."""

ALIASES: Mapping[str, tuple[str, ...]] = {
    "eye_g": ("eyeglasses", "eyeglass", "glasses", "spectacles", "sunglasses"),
    "mouth": ("mouth slightly open", "mouth is slightly open", "slightly open mouth", "open mouth"),
    "hair": ("hair",),
    "hat": ("hat", "hats"),
    "ear_r": ("earrings", "earring"),
    "neck_l": ("necklace", "necklaces"),
}
"""The parts whose presence a text can decide. The others are in nearly every image and say nothing of obedience."""
