"""From a seed to pixels: a stable layout first, then the image that follows it.

A class that would be a sliver at the default size is dropped with its objects, and the scene is drawn again.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from gcbench.data.random_choices import Dice
from gcbench.data.streets import labels as L
from gcbench.data.streets.draw import Shape, draw_image, draw_layout
from gcbench.data.streets.scene import Scene, compose

SIZE = (64, 128)
"""The default (H, W), at which slivers are evaluated."""
LEAST = 16
"""The least number of pixels of a class at the default size (0.2 % of the area)."""

_GRAIN = np.full(20, 0.02, dtype=np.float32)
_GRAIN[[L.ROAD, L.SIDEWALK, L.WALL, L.TERRAIN, L.VEGETATION, L.SKY]] = (0.025, 0.02, 0.05, 0.06, 0.08, 0.004)
_PATCH = np.full(20, 0.02, dtype=np.float32)
_PATCH[[L.ROAD, L.SIDEWALK, L.WALL, L.TERRAIN, L.VEGETATION, L.SKY]] = (0.03, 0.02, 0.05, 0.06, 0.12, 0.0)


@dataclass(frozen=True)
class StableScene:
    """A composed scene without slivers. base: the class behind everything. layout: at the default size."""

    scene: Scene
    shapes: tuple[Shape, ...]
    base: int
    layout: np.ndarray  # [H,W] uint8


def stable_scene(seed: np.random.SeedSequence) -> StableScene:
    """Compose the scene and drop slivers until every class but void has LEAST pixels."""
    entropy = seed.entropy
    assert isinstance(entropy, list | tuple)
    return _stable_scene(tuple(entropy))


@lru_cache(maxsize=64)  # a pair's image and its captions are asked for one after the other
def _stable_scene(entropy: tuple[int, ...]) -> StableScene:
    scene = compose(Dice(np.random.default_rng(np.random.SeedSequence(entropy))))
    shapes, base = scene.shapes, L.SKY
    while True:
        layout = draw_layout(shapes, SIZE, base)
        counts = np.bincount(layout.ravel(), minlength=20)
        slivers = {k for k in range(20) if 0 < counts[k] < LEAST and k != L.VOID}
        if not slivers:
            return StableScene(scene, shapes, base, layout)
        if base in slivers:
            slivers.remove(base)
            base = max((L.BUILDING, L.VEGETATION), key=lambda k: counts[k]) if base == L.SKY else L.VOID
        groups = {s.group for s in shapes if s.group and s.label in slivers}
        shapes = tuple(s for s in shapes if s.label not in slivers and not (s.group and s.group in groups))


def render(seed: np.random.SeedSequence, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The image uint8 [H,W,3] and the layout uint8 [H,W]."""
    stable = stable_scene(seed)
    layout = stable.layout.copy() if size == SIZE else draw_layout(stable.shapes, size, stable.base)
    image = draw_image(stable.shapes, size, _backdrop(stable, size))
    return _finish(image, layout, seed, stable.scene.weather.kind), layout


def _backdrop(stable: StableScene, size: tuple[int, int]) -> Image.Image:
    """The sky at twice the size: a gradient with clouds."""
    height, width = 2 * size[0], 2 * size[1]
    weather = stable.scene.weather
    if stable.base != L.SKY:
        return Image.new("RGB", (width, height), weather.ink((120, 112, 104), 30))
    down = (np.arange(height, dtype=np.float32) + 0.5) / height / max(stable.scene.horizon, 0.1)
    t = np.clip(down, 0, 1)[:, None, None]  # [H,1,1]
    top, bottom = np.array(weather.top, dtype=np.float32), np.array(weather.bottom, dtype=np.float32)
    column = top + (bottom - top) * t
    sky = Image.fromarray(np.broadcast_to(np.clip(column, 0, 255).astype(np.uint8), (height, width, 3)).copy())
    if stable.scene.clouds:
        pen = ImageDraw.Draw(sky)
        pale = 250 if not weather.dark else 110
        for x, y, wide, high, strength in stable.scene.clouds:
            mix = top + (bottom - top) * min(1.0, y / max(stable.scene.horizon, 0.1))
            part = 0.6 * strength
            r, g, b = (min(255, int(m + (pale - m) * part)) for m in mix)
            for shift, scale in ((0.0, 1.0), (-0.55, 0.6), (0.5, 0.7)):
                cx, cy = x + shift * wide, y + (0.3 if shift else 0.0) * high
                box = (cx - wide * scale, cy - high * scale, cx + wide * scale, cy + high * scale)
                places = [box[0] * width / 2, box[1] * height, box[2] * width / 2, box[3] * height]
                pen.ellipse(places, fill=(r, g, b))
    return sky


def _finish(image: np.ndarray, layout: np.ndarray, seed: np.random.SeedSequence, kind: str) -> np.ndarray:
    """Texture by class, and a little noise of the sensor."""
    height, width = layout.shape
    entropy = seed.entropy
    assert isinstance(entropy, list | tuple)
    rng = np.random.default_rng([*entropy, 1])
    grain = rng.standard_normal(SIZE, dtype=np.float32)  # [64,128]
    patch = _resized(rng.standard_normal((16, 32), dtype=np.float32), (height, width))
    if (height, width) != SIZE:
        grain = _resized(grain, (height, width))
    gain = 1 + _GRAIN[layout] * grain + _PATCH[layout] * patch  # [H,W]
    noise = rng.standard_normal((height, width), dtype=np.float32) * 1.3
    out = image.astype(np.float32)
    out *= gain[:, :, None]
    out += noise[:, :, None]
    np.rint(out, out=out)
    np.clip(out, 0, 255, out=out)
    return out.astype(np.uint8)  # [H,W,3]


def _resized(field: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(field).resize((size[1], size[0]), Image.Resampling.BICUBIC))
