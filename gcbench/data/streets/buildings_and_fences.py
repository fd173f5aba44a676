"""What lines the street: buildings with windows, walls, fences."""

from gcbench.data.class_tables import colours
from gcbench.data.random_choices import Dice
from gcbench.data.streets import labels
from gcbench.data.streets.draw import Pen
from gcbench.data.streets.weather import Colour

FACADES: tuple[Colour, ...] = colours("ba785c d6be96 c8c4bc e2d6be a89888 bea08c 966050 b2bac0 dec4a6 a0aaa0")
WALLS: tuple[Colour, ...] = ((138, 138, 142), (156, 156, 158), (134, 78, 64), (116, 118, 122))
FENCES: tuple[Colour, ...] = ((48, 54, 52), (38, 60, 50), (196, 198, 196), (112, 82, 58), (70, 74, 80))
PANE: Colour = (66, 82, 100)
LIT: Colour = (255, 214, 124)
DOORS: tuple[Colour, ...] = ((92, 56, 40), (44, 66, 54), (60, 60, 70), (120, 40, 40))


def building_row(
    pen: Pen, dice: Dice, x: float, z0: float, z1: float, tall: tuple[float, float], gaps: float, detail: int
) -> None:
    """Buildings along the street at X = x, far to near; the nearest `detail` of them have windows."""
    plots: list[tuple[float, float]] = []
    z = z0
    while z < z1:
        long = dice.between(7, 16) if z < 40 else dice.between(16, 30)
        plots.append((z, z + long))
        z += long + (dice.between(3, 8) if dice.chance(gaps) else 0)
    for place in range(len(plots) - 1, -1, -1):
        a, b = plots[place]
        _building(pen, dice, x, a, b, dice.between(*tall), windows=place < detail)


def _building(pen: Pen, dice: Dice, x: float, a: float, b: float, high: float, windows: bool) -> None:
    pen.label = labels.BUILDING
    w = pen.weather
    paint = dice.near(dice.pick(FACADES), 10, 18)
    mid = (a * b) ** 0.5
    out = 1 if x > 0 else -1
    storey = dice.between(2.9, 3.5)
    # The end that faces the camera, then the front along the street.
    pen.front(min(x, x + out * 14), max(x, x + out * 14), 0, high, a, w.ink(paint, a, 0.72))
    if dice.chance(0.35) and high < 12:
        roof = w.ink(dice.near((136, 70, 54), 10, 16) if dice.chance(0.6) else dice.near((80, 82, 90), 6, 12), mid)
        pen.world(((x, high, a), (x, high, b), (x + out * 3, high + 2.4, b), (x + out * 3, high + 2.4, a)), roof)
        pen.world(((x, high, a), (x + out * 3, high + 2.4, a), (x + out * 6, high, a)), w.ink(paint, a, 0.72))
    if windows:
        _end_windows(pen, dice, x, a, high, storey)
    pen.side(x, 0, high, a, b, w.ink(paint, mid, 0.96))
    pen.side(x, high - 0.45, high, a, b, w.ink(paint, mid, 0.74), solid=False)
    if not windows:
        floor = storey
        while floor + 1.6 < high and floor < 14:
            pen.side(x, floor + 0.7, floor + 2.0, a + 1, b - 1, w.ink(paint, mid, 0.72), solid=False)
            floor += storey
        return
    c = pen.camera
    columns = max(2, int((b - a) / dice.between(2.6, 3.6)))
    if a > 26:
        columns = max(2, columns // 2)
    pitch = (b - a) / columns
    share = dice.between(0.42, 0.62)
    lit = dice.between(0.3, 0.6) if w.dark else 0.0
    pane = w.ink(dice.near(PANE, 8, 14), mid)
    glow = w.glow(LIT, mid)
    floors = max(1, int(high / storey))
    shop = dice.chance(0.4)
    door = dice.whole(0, columns - 1)
    for column in range(columns - 1, -1, -1):
        left = a + pitch * (column + (1 - share) / 2)
        right = left + pitch * share
        if c.vx + x * c.focal / right < -0.1 or c.vx + x * c.focal / right > 2.1:
            continue
        ceiling = c.height + c.vy * right / c.focal
        for floor in range(1, floors):
            sill = floor * storey + 0.85
            if sill > ceiling or sill + 1.5 > high - 0.4:
                break
            on = lit and dice.chance(lit)
            pen.side(x, sill, sill + 1.5, left, right, glow if on else pane, solid=False)
        if column == door:
            pen.side(x, 0, 2.3, left, right, w.ink(dice.pick(DOORS), mid), solid=False)
        elif shop:
            near, far = a + pitch * (column + 0.1), a + pitch * (column + 0.9)
            window = w.glow((255, 228, 160), mid) if w.dark else w.ink((84, 100, 112), mid)
            pen.side(x, 0.5, 2.5, near, far, window, solid=False)
        else:
            on = lit and dice.chance(lit)
            pen.side(x, 0.9, 2.4, left, right, glow if on else pane, solid=False)
    if shop:
        pen.side(x, 2.55, 3.05, a, b, w.ink(dice.near((150, 60, 60), 60, 30), mid), solid=False)


def _end_windows(pen: Pen, dice: Dice, x: float, z: float, high: float, storey: float) -> None:
    """Windows in the end of a building that faces the camera, as far as the image shows it."""
    c, w = pen.camera, pen.weather
    s = c.scale(z)
    out = 1 if x > 0 else -1
    pane, glow = w.ink(PANE, z, 0.85), w.glow(LIT, z)
    ceiling = c.height + c.vy / s
    for column in range(4):
        near = x + out * (1.2 + 3.2 * column)
        at = c.vx + near * s
        if at < 0 or at > 2:
            break
        sill = 0.95
        while sill < ceiling and sill + 1.5 < high - 0.4:
            on = w.dark and dice.chance(0.35)
            left, right = sorted((near, near + out * 1.5))
            pen.front(left, right, sill, sill + 1.5, z, glow if on else pane, solid=False)
            sill += storey


def closing_front(pen: Pen, dice: Dice, x0: float, x1: float, z: float, high: float) -> None:
    """A building across the end of the street, facing the camera."""
    pen.label = labels.BUILDING
    w = pen.weather
    paint = dice.near(dice.pick(FACADES), 10, 18)
    pen.front(x0, x1, 0, high, z, w.ink(paint, z, 0.88))
    pane, glow = w.ink(PANE, z), w.glow(LIT, z)
    storey = max(3.2, z * 0.09)
    pitch = storey * 1.05
    c = pen.camera
    s = c.scale(z)
    low = max(x0, -(c.vx + 0.05) / s)
    top = min(high, c.height + c.vy / s)
    row = 0
    while (row + 1) * storey < top + storey * 0.4:
        y = row * storey + storey * 0.3
        if y + storey * 0.5 > high - 0.3:
            break
        column = int(low / pitch) - 1
        while (column + 1) * pitch < min(x1, (2.05 - c.vx) / s):
            x = column * pitch + pitch * 0.25
            if x > x0 + 0.3 and x + pitch * 0.5 < x1 - 0.3:
                on = w.dark and dice.chance(0.4)
                pen.front(x, x + pitch * 0.48, y, y + storey * 0.48, z, glow if on else pane, solid=False)
            column += 1
        row += 1


def skyline(pen: Pen, dice: Dice, z: float) -> None:
    """Far buildings along the horizon."""
    pen.label = labels.BUILDING
    reach = 1.3 * z
    x = -reach
    while x < reach:
        wide = dice.between(9, 24)
        high = dice.between(6, 17)
        paint = dice.near(dice.pick(FACADES), 10, 16)
        pen.front(x, x + wide, 0, high, z, pen.weather.ink(paint, z, 0.9))
        band = pen.weather.ink(paint, z, 0.7)
        for storey in range(1, int(high / 4)):
            pen.front(x + 1.5, x + wide - 1.5, storey * 4, storey * 4 + 1.8, z, band, solid=False)
        x += wide


def wall(pen: Pen, dice: Dice, x: float, z0: float, z1: float) -> None:
    """A flat band of concrete or brick along the street, with joints and a coping."""
    pen.label = labels.WALL
    w = pen.weather
    brick = dice.chance(0.4)
    paint = dice.near(WALLS[2] if brick else dice.pick((WALLS[0], WALLS[1], WALLS[3])), 6, 14)
    high = dice.between(2.0, 3.4)
    out = 0.4 if x > 0 else -0.4
    cuts = [z0 * (z1 / z0) ** (k / 3) for k in range(4)]
    pen.front(min(x, x + out), max(x, x + out), 0, high, z0, w.ink(paint, z0, 0.8))
    for a, b in zip(cuts[2::-1], cuts[:0:-1], strict=True):
        pen.side(x, 0, high, a, b, w.ink(paint, (a * b) ** 0.5, 0.92))
    joint = w.ink(paint, z0 * 1.6, 0.74)
    if brick:
        for k in range(1, 6):
            y = high * k / 6
            pen.side(x, y - 0.06, y + 0.06, z0, z1, joint, solid=False)
    else:
        z = z0
        while z < z1:
            pen.side(x, 0, high, z, z + 0.14, joint, solid=False)
            z *= 1.22
    pen.side(x, high - 0.22, high, z0, z1, w.ink((206, 206, 202), z0 * 1.6), solid=False)


def fence(pen: Pen, dice: Dice, x: float, z0: float, z1: float, behind: Colour) -> None:
    """Bars between two rails; between them one sees `behind`. The layout has no holes."""
    pen.label = labels.FENCE
    w = pen.weather
    paint = dice.near(dice.pick(FENCES), 6, 10)
    high = dice.between(1.5, 2.2)
    mid = (z0 * z1) ** 0.5
    pen.side(x, 0, high, z0, z1, w.ink(behind, mid))
    z = z0
    while z < z1:
        gap = max(0.42, z * 0.055)
        pen.side(x, 0.02, high, z, min(z + gap * 0.42, z1), w.ink(paint, z), solid=False)
        z += gap
    pen.side(x, high - 0.2, high, z0, z1, w.ink(paint, mid), solid=False)
    pen.side(x, 0.1, 0.28, z0, z1, w.ink(paint, mid), solid=False)
