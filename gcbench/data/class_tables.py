"""Short ways to write tables of classes: colours in hexadecimal or by rule, words with their plurals."""

import colorsys


def colours(codes: str) -> tuple[tuple[int, int, int], ...]:
    """RGB triples of six hexadecimal digits each: `"ff8000 203040"`."""
    return tuple((r, g, b) for r, g, b in map(bytes.fromhex, codes.split()))


def words(spelled: str) -> tuple[str, ...]:
    """`"car+ road_sign+ people"`: car, cars, road sign, road signs, people."""
    every: list[str] = []
    for word in spelled.split():
        word = word.replace("_", " ")
        every += (word[:-1], f"{word[:-1]}s") if word.endswith("+") else (word,)
    return tuple(every)


def distinct_colours(count: int) -> tuple[tuple[int, int, int], ...]:
    """So many RGB triples: hues a golden angle apart, so that neighbouring ids differ."""
    hues = [colorsys.hsv_to_rgb(i * 0.618034 % 1, 0.5 + 0.5 * (i % 2), 0.9 - 0.2 * (i % 3)) for i in range(count)]
    return tuple((round(r * 255), round(g * 255), round(b * 255)) for r, g, b in hues)
