"""The colours that people and their things come in, as RGB from 0 to 255."""

from gcbench.data.class_tables import colours
from gcbench.data.faces.canvas import Colour

PALE: Colour = (238, 204, 194)
SKINS: tuple[Colour, ...] = colours("deae8e e0b08e e4b486 ce9872 ba845e 9c6a4c 7c543e 624232")
"""From light to dark; a Pale_Skin is lighter than all of them."""

HAIRS: dict[str, tuple[Colour, ...]] = {
    "black": ((26, 24, 26), (34, 28, 26), (22, 22, 30)),
    "brown": ((92, 60, 38), (112, 74, 46), (78, 50, 34)),
    "blond": ((218, 184, 116), (230, 202, 140), (204, 164, 94)),
    "gray": ((158, 158, 160), (184, 184, 186), (206, 204, 200)),
    "red": ((168, 74, 34), (186, 92, 40)),
}

IRISES: tuple[Colour, ...] = ((74, 48, 30), (58, 38, 26), (92, 66, 36), (70, 110, 160), (86, 128, 92), (96, 116, 130))
LIPSTICKS: tuple[Colour, ...] = ((196, 26, 50), (170, 20, 62), (214, 50, 90), (146, 26, 50), (206, 60, 60))
SHADOWS: tuple[Colour, ...] = colours("6246be be3c96 3278c4 249280 ce6e32")
"""Of eyes that wear make-up."""
FABRICS: tuple[Colour, ...] = colours("283e74 94282e 3a3c42 e2ded6 427054 78427c ce8c3c 5a8cb0 202024 c46c7c 705c48")
SUITS: tuple[Colour, ...] = ((34, 38, 52), (52, 54, 60), (70, 66, 64), (28, 44, 72), (92, 78, 62))
SHIRTS: tuple[Colour, ...] = ((240, 240, 242), (214, 226, 240), (236, 222, 222), (224, 232, 218))
TIES: tuple[Colour, ...] = ((176, 28, 40), (34, 60, 140), (30, 110, 80), (214, 150, 40), (110, 40, 120), (40, 40, 48))
HATS: tuple[Colour, ...] = colours("ac2c30 284682 3e3e44 c4aa78 36684c ded8cc d49632 603a6e")
FRAMES: tuple[Colour, ...] = ((24, 22, 24), (60, 36, 24), (120, 26, 34), (34, 44, 80), (150, 120, 60))
JEWELS: tuple[Colour, ...] = ((240, 204, 92), (232, 236, 242), (246, 240, 230), (70, 190, 190), (220, 60, 80))
BACKDROPS: tuple[Colour, ...] = colours("788caa b0a89e 464e5c 96aa8c c4b096 604642 ced2d6 3c606e 966e78 2c2c32")
