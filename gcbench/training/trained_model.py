"""What all models have in common whose weights a checkpoint of ours holds."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from gcbench.core.checkpoint import Card
from gcbench.core.contracts import Model, ModelOptions, Size
from gcbench.core.errors import UserError
from gcbench.core.samples import Samples


class TrainedModel(Model):
    """name: its entry point, by which its weights are found. network: all that was trained. card: of the checkpoint."""

    name: ClassVar[str]
    network: nn.Module
    card: Card
    size: Size

    def describe(self) -> Mapping[str, str | int | None]:
        return {
            "weights": self.card.sha256,
            "trained_on": self.card.dataset,
            "parameters": sum(p.numel() for p in self.network.parameters()),
        }

    def check_size(self, size: Size) -> None:
        """Refuse any size but the one that it was trained at; a model that can draw others has a check of its own."""
        if tuple(size) != tuple(self.size):
            h, w = self.size
            raise UserError(f"{self.name} draws images of {h}x{w} only; leave out --size or train it at another")

    def samples(
        self, images: Tensor, layouts: Tensor | None, prompts: Sequence[str] | None, seeds: Sequence[int]
    ) -> Samples:
        """Samples named by their seeds; `layouts` are the model's own."""
        return Samples(
            images,
            layouts,
            "generated" if layouts is not None else None,
            tuple(prompts) if prompts is not None else None,
            tuple(f"{seed:06d}" for seed in seeds),
        )

    @classmethod
    def refuse_steps(cls, options: ModelOptions) -> None:
        """For models without sampling steps."""
        if options.steps is not None:
            raise UserError(
                f"--steps {options.steps}: {cls.name} draws in one pass and has no sampling steps; leave it out"
            )

    @staticmethod
    def choose_steps(options: ModelOptions, default: int, trained: int) -> int:
        """The sampling steps asked for, else `default`: at most as many as the process that was trained has."""
        steps = default if options.steps is None else options.steps
        if not 1 <= steps <= trained:
            raise UserError(f"--steps {steps} is outside 1..{trained}, the process that was trained")
        return steps


def seconds(act: Callable[[], object]) -> float:
    """What `act` takes, the second of two times: the first also fills caches."""
    took = 0.0
    for _ in range(2):
        began = time.perf_counter()
        act()
        took = time.perf_counter() - began
    return took
