"""Sampling where part of the pair is known: a layout, an image, or pixels of either (RePaint, Lugmayr et al. 2022).

Before each step the known part is replaced by a draw from q(. | known) at the step's own time. With n repeats the
step's result is noised again, n - 1 times, so that what is drawn can agree with what is known.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

import torch
from torch import Tensor

from gcbench.diffusion import categorical, gaussian
from gcbench.diffusion.joint import JointProcess, Predict, State
from gcbench.diffusion.noise import SeededNoise
from gcbench.diffusion.reverse_steps import Step


@dataclass(frozen=True)
class Known:
    """image: [B,3,H,W] in [-1,1]; layout: class ids [B,H,W]; where: bool [B,H,W] each, None for all of it."""

    image: Tensor | None = None
    layout: Tensor | None = None
    image_where: Tensor | None = None
    layout_where: Tensor | None = None

    def over(self, image: Tensor, layout: Tensor | None, known: "Known") -> tuple[Tensor, Tensor | None]:
        """The pair with `known`, this one at some time, written over it."""
        if known.image is not None:
            image = (
                known.image if self.image_where is None else torch.where(self.image_where[:, None], known.image, image)
            )
        if known.layout is not None and layout is not None:
            layout = known.layout if self.layout_where is None else torch.where(self.layout_where, known.layout, layout)
        return image, layout


def complete(
    process: JointProcess,
    predict: Predict,
    noise: SeededNoise,
    known: Known,
    size: tuple[int, int],
    steps: int,
    *,
    repeats: int = 1,
    renoise: Literal["exact", "authors"] = "exact",
    device: str | torch.device = "cpu",
) -> Iterator[State]:
    """As `JointProcess.sample`, with `known` kept; yields the state after each repeat of each step, the last as known.

    repeats: of each step but the last. renoise: from s back to t, x_t = √a x_s + √(1-a) eps with a = alpha_bar_t /
    alpha_bar_s (`exact`). The authors' code multiplies eps by √(1-alpha_bar_t) - √a √(1-alpha_bar_s), which is less,
    and takes the last step n times as well, on what is clean already.
    """
    classes = process.cfg.classes
    x = noise.normal(3, *size)
    y = (noise.uniform(*size) * classes).long() if classes else None
    plan = process.steps(steps)
    for step, following in zip_longest(plan, plan[1:]):
        for again in reversed(range(repeats if following or renoise == "authors" else 1)):
            x, y = known.over(x, y, _at(known, step, process, noise))
            head, logits = predict(x, y, step.log_snr.to(device).expand(len(x)))
            x, y, x0 = process.step(x, y, head, logits, step, noise)
            if following is None and not again:
                x, y = known.over(x.clamp(-1, 1), y, known)
            yield State(step.s, x, y, x0)
            if following is not None and again:
                x, y = _noised_again(x, y, step, following, process, noise, renoise)


def _at(known: Known, step: Step, process: JointProcess, noise: SeededNoise) -> Known:
    """A draw of the known part at the step's own time."""
    image, layout = known.image, known.layout
    if image is not None:
        level = step.image_t.to(image)
        image = gaussian.diffuse(image, noise.normal(*image.shape[1:]), level)
    if layout is not None and process.cfg.classes:
        level = step.label_t.to(layout.device).view(1, 1, 1)
        layout = categorical.diffuse(layout, level, process.cfg.classes, noise.uniform(*layout.shape[1:]))
    return Known(image, layout)


def _noised_again(
    x: Tensor,
    y: Tensor | None,
    step: Step,
    following: Step,
    process: JointProcess,
    noise: SeededNoise,
    renoise: Literal["exact", "authors"],
) -> tuple[Tensor, Tensor | None]:
    """From the end of a step, where the following one starts, back to its own start."""
    a = step.image_t / following.image_t
    deviation = (1 - a).sqrt()
    if renoise == "authors":
        deviation = (1 - step.image_t).sqrt() - a.sqrt() * (1 - following.image_t).sqrt()
    x = a.sqrt() * x + deviation * noise.normal(*x.shape[1:])
    if y is not None and process.cfg.classes:
        kept = (step.label_t / following.label_t).to(y.device).view(1, 1, 1)
        y = categorical.diffuse(y, kept, process.cfg.classes, noise.uniform(*y.shape[1:]))
    return x, y
