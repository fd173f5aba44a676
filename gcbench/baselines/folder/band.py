"""The band of a letterboxed square that holds the image, as GANformer's `--ratio` cuts it out."""

from pathlib import Path

from PIL import Image

from gcbench.core.contracts import Size
from gcbench.data.sources import Facts, Source


class Band(Source):
    """The middle of each image, `ratio` times as high as wide; images of that form already stay whole."""

    def __init__(self, inner: Source, ratio: float):
        self.inner, self.ratio = inner, ratio
        self.path, self.kind, self.ids = inner.path, inner.kind, inner.ids

    def place(self, name: str) -> Path:
        return self.inner.place(name)

    def look(self, name: str) -> Facts:
        facts = self.inner.look(name)
        _, _, height, width = self._box(facts.size)
        return facts._replace(size=(height, width))

    def image(self, name: str) -> Image.Image:
        image = self.inner.image(name)
        top, left, height, width = self._box((image.height, image.width))
        return image.crop((left, top, left + width, top + height))

    def _box(self, size: Size) -> tuple[int, int, int, int]:
        """(top, left, height, width) of the largest band."""
        width = min(size[1], round(size[0] / self.ratio))
        height = min(size[0], round(width * self.ratio))
        return (size[0] - height) // 2, (size[1] - width) // 2, height, width
