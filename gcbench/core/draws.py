"""A training step's random numbers, the same for an image however many processes or micro-batches share its batch."""

from collections.abc import Callable

import torch
from torch import Tensor

Draw = Callable[[int, torch.Generator], Tensor]
"""(how many images, generator) -> a row an image."""


class Draws(torch.Generator):
    """What a recipe's forward draws from. Through `of_images` and `once` all processes and micro-batches draw the
    numbers of the whole batch, and each takes the rows of its own images. Used as the torch.Generator that it is, it
    gives numbers of the process's own.

    seed: of the whole batch's numbers; own_seed: of the process's own; images: of the whole batch.
    """

    def __new__(cls, seed: int, own_seed: int, images: int) -> "Draws":
        return super().__new__(cls)

    def __init__(self, seed: int, own_seed: int, images: int):
        self.manual_seed(own_seed)
        self.images, self.rows = images, range(images)
        self._whole = torch.Generator().manual_seed(seed)
        self._drawn: list[Tensor] = []
        self._next = 0

    def share(self, rows: range) -> "Draws":
        """For the images at the places `rows` of the batch, from the first draw on."""
        self.rows, self._next = rows, 0
        return self

    def whole(self, draw: Draw) -> Tensor:
        """The next draw for the whole batch: made once, and then kept for the other micro-batches."""
        if self._next == len(self._drawn):
            self._drawn.append(draw(self.images, self._whole))
        self._next += 1
        return self._drawn[self._next - 1]


def of_images(b: int, generator: torch.Generator, draw: Draw) -> Tensor:
    """What `draw` gives of the b images at hand, a row each; a plain generator draws for them alone."""
    if not isinstance(generator, Draws):
        return draw(b, generator)
    if b != len(generator.rows):
        raise ValueError(f"drawn for {b} images, where the generator is of {len(generator.rows)}")
    rows = generator.rows
    return generator.whole(draw)[rows.start : rows.stop : rows.step]


def once(generator: torch.Generator, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
    """What is drawn once a batch, whatever its size."""
    return generator.whole(lambda _, whole: draw(whole)) if isinstance(generator, Draws) else draw(generator)


def cut(drawn: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
    """This part's rows of what was drawn `once`, and by how much the mean over them counts, so that the parts' means,
    each weighed by its share of the images too, make the mean over all rows."""
    if not isinstance(generator, Draws) or len(generator.rows) == generator.images:
        return drawn, 1.0
    edges = [place * len(drawn) // generator.images for place in range(generator.images + 1)]
    rows = [drawn[edges[place] : edges[place + 1]] for place in generator.rows]
    part = torch.cat(rows)
    return part, len(part) / len(drawn) * generator.images / len(generator.rows)


def normal(b: int, *shape: int, generator: torch.Generator, device: torch.device | str = "cpu") -> Tensor:
    """N(0,1) float32 [b,*shape], drawn on the CPU; the host does not wait for the device."""
    return moved(of_images(b, generator, lambda n, source: torch.randn(n, *shape, generator=source)), device)


def uniform(b: int, *shape: int, generator: torch.Generator, device: torch.device | str = "cpu") -> Tensor:
    """U[0,1) float32 [b,*shape], as `normal`."""
    return moved(of_images(b, generator, lambda n, source: torch.rand(n, *shape, generator=source)), device)


def dropout(x: Tensor, p: float, generator: torch.Generator | None) -> Tensor:
    """x [b,...] in which a share p of the numbers is 0 and the others are divided by 1 - p; x itself without a
    generator. Each image has a seed of its own: a process draws the numbers of its images alone, on their device."""
    if generator is None or not p:
        return x
    seeds = of_images(len(x), generator, lambda n, source: torch.randint(2**62, (n,), generator=source)).tolist()
    sources = [torch.Generator(x.device).manual_seed(seed) for seed in seeds]
    kept = torch.stack([torch.rand(x.shape[1:], generator=source, device=x.device) >= p for source in sources])
    return x * kept / (1 - p)


def moved(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on a device. To a GPU it goes by way of pinned memory, so that the host does not wait."""
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
