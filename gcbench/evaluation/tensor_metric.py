"""One metric alone on plain tensors, with no run and no file: the engine's own, number for number.

metric = gcbench.metric("semantic-recall", dataset="streets")
metric.update(images, prompts=prompts)  # uint8 [B,3,H,W] and B texts, as often as there are batches
print(metric.compute().text())
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor

from gcbench.core.contracts import Dataset, Metric, Task
from gcbench.core.errors import UserError
from gcbench.core.registry import registry
from gcbench.core.run_spec import check_evaluators
from gcbench.core.samples import Features, Samples, Texts, sample_ids
from gcbench.core.score import Score
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.scoring import EvaluatorSet, batches, open_evaluators
from gcbench.evaluation.setup import choose_device


class Real(TypedDict, total=False):
    """What is known of B real images; all but the layouts is what the metric's evaluator says of them."""

    layouts: Tensor  # [B,H,W]
    labels: Tensor  # class ids [B,H,W]
    vectors: Tensor  # pooled features [B,d]
    probabilities: Tensor  # of the dataset's attributes [B,A]
    texts: Tensor  # of the prompts, in the space of `vectors` [B,d]


class Generated(Real, total=False):
    """What is known of B generated images. ids: unique; without them images are numbered, and such instances cannot be
    merged. groups: what is dependent, such as one prompt drawn twice; every image for itself if nothing is.
    """

    prompts: Sequence[str]
    ids: Sequence[str]
    groups: Sequence[str]


SHAPES = {"images": "B3HW", "layouts": "BHW", "labels": "BHW", "vectors": "Bd", "probabilities": "BA", "texts": "Bd"}
SEEN = ("labels", "vectors", "probabilities", "texts")


class TensorMetric:
    """The metric called `name`, with the classes of `dataset` and the words for them.

    Its evaluator is opened when images first need it: not where the caller gives what it says of them, when the images
    themselves may be left out. `metric` is the one inside, for `state`, `load` and `merge`.

    Args:
        dataset: a name or path as for `--dataset`, a Dataset, or a Task, for which no evaluator can be opened.
        evaluators: `ROLE=ID[@FILE]` each, as `--evaluator` takes them.
        device: where evaluators run; `auto` is a GPU if there is one.

    Raises:
        UserError: there is no such metric or dataset.
    """

    def __init__(
        self,
        name: str,
        dataset: str | Dataset | Task = "streets",
        *,
        evaluators: Sequence[str] = (),
        device: str = "auto",
    ):
        kind = registry("metrics")[name]
        self.name, self.source = name, open_dataset(dataset) if isinstance(dataset, str) else dataset
        self.asked, self.device = list(evaluators), choose_device(device)
        task = self.source if isinstance(self.source, Task) else Task.of(self.source)
        self.metric: Metric = kind(replace(task, named=task.named | check_evaluators(self.asked).keys()))
        self.added = {"generated": 0, "real": 0}

    def update(self, images: Tensor | None = None, **given: Unpack[Generated]) -> None:
        """Add B images, uint8 [B,3,H,W], with generated layouts and texts where the metric needs them.
        UserError: something is missing, or of another shape or type."""
        self._add(self.metric.update, "generated", {"images": images, **given})

    def update_reference(self, images: Tensor | None = None, **given: Unpack[Real]) -> None:
        """Add real images to what a distance is measured from; as for `update`."""
        if "reference" not in self.metric.needs:
            raise UserError(f"{self.metric.title} has no reference; leave out update_reference")
        self._add(self.metric.update_reference, "real", {"images": images, **given})

    def compute(self) -> Score:
        """The score of all images so far; where there is none, the reason."""
        return self.metric.compute()

    def per_sample(self) -> Mapping[str, Mapping[str, float | None]]:
        """column -> id -> value, "" for the value itself; empty for a number of the whole set."""
        return self.metric.per_sample()

    @cached_property
    def _evaluators(self) -> EvaluatorSet:
        if isinstance(self.source, Task):
            raise UserError(f"{self.name} reads images with an evaluator, which a Task lacks; give a dataset")
        evaluator_set = open_evaluators(self.source, [self.name], self.asked, self.device)
        for reason in evaluator_set.missing.values():
            raise UserError(reason)
        return evaluator_set

    def _add(
        self, update: Callable[[Samples, Mapping[str, Features]], None], source: str, content: dict[str, Any]
    ) -> None:
        texts = {name: content.pop(name) for name in ("prompts", "ids", "groups") if content.get(name) is not None}
        given = _checked(content, len(self.metric.task.classes))
        seen = {name: given[name] for name in given if name in SEEN}
        roles, title = self.metric.roles, self.metric.title
        if seen and len(roles) != 1:
            raise UserError(f"{title} reads {len(roles)} evaluators; give images instead of {min(seen)}")
        if not given or ("images" in self.metric.needs and not seen and "images" not in given):
            raise UserError(f"{title} needs images" + (f", or what its {roles[0]} says of them" if roles else ""))
        n, size = len(next(iter(given.values()))), next((x.shape[-2:] for x in given.values() if x.ndim > 2), (1, 1))
        for name, lines in texts.items():
            if isinstance(lines, str) or [type(line) for line in lines] != [str] * n:
                raise UserError(f"{name} must be a list of {n} texts, one an image")
            texts[name] = tuple(lines)
        samples = Samples(
            given.get("images", torch.zeros(1, dtype=torch.uint8).expand(n, 3, *size)),
            given.get("layouts"),
            source if "layouts" in given else None,
            texts.get("prompts"),
            texts.get("ids") or sample_ids(n, self.added[source]),
            texts.get("groups"),
        )
        if seen or not roles:
            if "texts" in seen:
                seen["texts"] = Texts(seen["texts"], torch.zeros(n, dtype=torch.bool))
            update(samples, dict.fromkeys(roles, Features(**seen)))
        else:
            for rows in batches(n):  # as the engine does: a network's last digits depend on it
                batch = samples.take(rows)
                update(batch, self._evaluators.features(batch))
        self.added[source] += n


metric = TensorMetric


def _checked(tensors: Mapping[str, Any], classes: int) -> dict[str, Any]:
    """Those that are there, if they agree in B, H and W and are of the right type."""
    given = {name: torch.as_tensor(value) for name, value in tensors.items() if value is not None}
    sizes = {"3": 3}  # axis -> length, of the axes that all share
    for name, x in given.items():
        if name not in SHAPES:
            raise UserError(f"there is no argument {name!r}; evaluators say {', '.join(SEEN)}")
        axes = SHAPES[name]
        sizes = {axis: length for axis, length in zip(axes, x.shape, strict=False) if axis in "BHW"} | sizes
        expected = [sizes.get(axis, axis) for axis in axes]
        if x.ndim != len(axes) or any(a != b for a, b in zip(expected, x.shape, strict=True) if isinstance(a, int)):
            raise UserError(f"{name} is of shape {tuple(x.shape)}; give [{','.join(map(str, expected))}]")
        if name == "images" and x.dtype != torch.uint8:
            raise UserError(f"images are {x.dtype}; give torch.uint8, from 0 to 255")
        if axes == "BHW":
            if x.is_floating_point() or (x.numel() and not 0 <= int(x.min()) <= int(x.max()) < classes):
                raise UserError(f"{name} must be whole numbers from 0 to {classes - 1}, the dataset's classes")
            given[name] = x.long()
    return given
