"""Light and weather: what a surface's own colour becomes under this sky and at this distance."""

from dataclasses import dataclass
from math import exp

from gcbench.data.class_tables import colours
from gcbench.data.random_choices import Dice

Colour = tuple[float, float, float]
Ink = tuple[int, int, int]


@dataclass(frozen=True)
class Weather:
    """kind: its name. light: gain of each channel. top, bottom: the sky's gradient. haze: distance's colour.

    visibility: the distance in metres at which a surface keeps 1/e of its own colour. shadow: gain of the
    ground in a shadow. dark: windows and lamps are lit. wet: the road shines. clouds: how many.
    """

    kind: str
    light: Colour
    top: Colour
    bottom: Colour
    haze: Colour
    visibility: float
    shadow: float
    dark: bool
    wet: bool
    clouds: int

    def ink(self, colour: Colour, z: float, gain: float = 1.0) -> Ink:
        """The colour of a lit surface at depth z."""
        keep = exp(-z / self.visibility)
        lit = keep * gain
        lost = 1 - keep
        r, g, b = colour
        (lr, lg, lb), (hr, hg, hb) = self.light, self.haze
        return _whole(r * lr * lit + hr * lost, g * lg * lit + hg * lost, b * lb * lit + hb * lost)

    def glow(self, colour: Colour, z: float) -> Ink:
        """The colour of something that shines by itself at depth z."""
        keep = 0.35 + 0.65 * exp(-z / self.visibility)
        (r, g, b), (hr, hg, hb) = colour, self.haze
        return _whole(r * keep + hr * (1 - keep), g * keep + hg * (1 - keep), b * keep + hb * (1 - keep))


def _whole(red: float, green: float, blue: float) -> Ink:
    return max(0, min(255, int(red))), max(0, min(255, int(green))), max(0, min(255, int(blue)))


# kind; below which uniform number; light; colours of top, bottom, haze; how much of the drift the channels of top and
# bottom take; visibility; shadow; chance of dark; chance of wet; clouds
_Sky = tuple[str, float, Colour, str, tuple[float, ...], tuple[float, float], float, float, float, tuple[int, int]]
_SKIES: tuple[_Sky, ...] = (
    ("sunny", 0.38, (1.06, 1.04, 1.0), "4c88d6 b0d0ec c4d6e8", (1, 1, 0.5, 1, 1, 0), (130, 260), 0.5, 0, 0, (0, 5)),
    ("overcast", 0.60, (0.9, 0.91, 0.93), "a8b0ba d4d7db ced2d6", (1, 1, 1, 1, 1, 1), (90, 180), 0.68, 0, 0, (1, 5)),
    ("dusk", 0.72, (0.86, 0.68, 0.64), "54588c f4a870 ce9880", (1, 1, 1, 0, 1, 1), (100, 180), 0.62, 0.5, 0, (0, 5)),
    ("night", 0.82, (0.52, 0.55, 0.68), "121632 32365a 2e324e", (0, 0, 1, 0, 0, 1), (100, 180), 0.62, 1, 0.25, (0, 2)),
    ("fog", 0.91, (0.88, 0.9, 0.91), "bec3c8 d0d3d6 ced1d4", (1, 1, 1, 1, 1, 1), (30, 48), 0.78, 0, 0, (0, 0)),
    ("rain", 1.0, (0.7, 0.73, 0.78), "707886 a0a6b0 989ea8", (1, 1, 1, 1, 1, 1), (60, 110), 0.6, 0.3, 1, (0, 3)),
)


def draw_weather(dice: Dice) -> Weather:
    """Sunny, cloudy, dusk, night, fog or rain, each with its own spread."""
    u = dice.unit()
    gain = dice.between(0.92, 1.08)
    drift = dice.between(-12, 12)
    kind, _, light, codes, shares, visibility, shadow, dark, wet, clouds = next(sky for sky in _SKIES if u < sky[1])
    warm = dice.between(0.98, 1.08) if kind == "sunny" else 1.0

    def drifted(colour: Colour, shares: tuple[float, ...]) -> Colour:
        r, g, b = (channel + share * drift for channel, share in zip(colour, shares, strict=True))
        return r, g, b

    def happens(chance: float) -> bool:
        return dice.chance(chance) if 0 < chance < 1 else chance == 1

    top, bottom, haze = colours(codes)
    return Weather(
        kind,
        (light[0] * gain * warm, light[1] * gain, light[2] * gain / warm),
        drifted(top, shares[:3]),
        drifted(bottom, shares[3:]),
        drifted(haze, (1, 1, 1)) if kind == "fog" else haze,
        dice.between(*visibility),
        shadow,
        happens(dark),
        happens(wet),
        dice.whole(*clouds) if clouds[1] else 0,
    )
