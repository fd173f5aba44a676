"""Light and weather: what a surface's own colour becomes under this sky and at this distance."""

from dataclasses import dataclass
from math import exp

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
        red, green, blue = r * lr * lit + hr * lost, g * lg * lit + hg * lost, b * lb * lit + hb * lost
        return (
            0 if red < 0 else 255 if red > 255 else int(red),
            0 if green < 0 else 255 if green > 255 else int(green),
            0 if blue < 0 else 255 if blue > 255 else int(blue),
        )

    def glow(self, colour: Colour, z: float) -> Ink:
        """The colour of something that shines by itself at depth z."""
        keep = 0.35 + 0.65 * exp(-z / self.visibility)
        r, g, b = colour
        hr, hg, hb = self.haze
        return (
            min(255, int(r * keep + hr * (1 - keep))),
            min(255, int(g * keep + hg * (1 - keep))),
            min(255, int(b * keep + hb * (1 - keep))),
        )


def draw_weather(dice: Dice) -> Weather:
    """Sunny, cloudy, dusk, night, fog or rain, each with its own spread."""
    u = dice.unit()
    g = dice.between(0.92, 1.08)
    j = dice.between(-12, 12)
    if u < 0.38:
        warm = dice.between(0.98, 1.08)
        return Weather(
            "sunny",
            (1.06 * g * warm, 1.04 * g, 1.0 * g / warm),
            (76 + j, 136 + j, 214 + j / 2),
            (176 + j, 208 + j, 236),
            (196, 214, 232),
            dice.between(130, 260),
            0.5,
            False,
            False,
            dice.whole(0, 5),
        )
    if u < 0.60:
        return Weather(
            "overcast",
            (0.90 * g, 0.91 * g, 0.93 * g),
            (168 + j, 176 + j, 186 + j),
            (212 + j, 215 + j, 219 + j),
            (206, 210, 214),
            dice.between(90, 180),
            0.68,
            False,
            False,
            dice.whole(1, 5),
        )
    if u < 0.72:
        return Weather(
            "dusk",
            (0.86 * g, 0.68 * g, 0.64 * g),
            (84 + j, 88 + j, 140 + j),
            (244, 168 + j, 112 + j),
            (206, 152, 128),
            dice.between(100, 180),
            0.62,
            dice.chance(0.5),
            False,
            dice.whole(0, 5),
        )
    if u < 0.82:
        return Weather(
            "night",
            (0.52 * g, 0.55 * g, 0.68 * g),
            (18, 22, 50 + j),
            (50, 54, 90 + j),
            (46, 50, 78),
            dice.between(100, 180),
            0.62,
            True,
            dice.chance(0.25),
            dice.whole(0, 2),
        )
    if u < 0.91:
        return Weather(
            "fog",
            (0.88 * g, 0.90 * g, 0.91 * g),
            (190 + j, 195 + j, 200 + j),
            (208 + j, 211 + j, 214 + j),
            (206 + j, 209 + j, 212 + j),
            dice.between(30, 48),
            0.78,
            False,
            False,
            0,
        )
    return Weather(
        "rain",
        (0.70 * g, 0.73 * g, 0.78 * g),
        (112 + j, 120 + j, 134 + j),
        (160 + j, 166 + j, 176 + j),
        (152, 158, 168),
        dice.between(60, 110),
        0.6,
        dice.chance(0.3),
        True,
        dice.whole(0, 3),
    )
