"""Short ways to write tables of classes: colours in hexadecimal, words with their plurals."""


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
