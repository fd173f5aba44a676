"""One metric alone on plain tensors, with no run and no file: the engine's own, number for number.

metric = gcbench.metric("semantic-recall", dataset="streets")
metric.update(images, prompts=prompts)  # uint8 [B,3,H,W] and B texts, as often as there are batches
print(metric.compute().text())
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor

from gcbench.core.contracts import Dataset, Metric, Task
from gcbench.core.errors import UserError
from gcbench.core.registry import registry
from gcbench.core.samples import Features, Samples, Texts, sample_ids
from gcbench.core.score import Score
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.scoring import BATCH, EvaluatorSet, open_evaluators
from gcbench.evaluation.setup import choose_device

SHAPES = {
    "images": "B3HW",
    "layouts": "BHW",
    "labels": "BHW",
    "vectors": "Bd",
    "probabilities": "BA",
    "texts": "Bd",
}


class Seen(TypedDict, total=False):
    """What the metric's evaluator says of B images, from whoever has it already.

    labels: class ids [B,H,W]. vectors: pooled features [B,d]. probabilities: of the dataset's attributes [B,A].
    texts: of the prompts, in the space of `vectors` [B,d].
    """

    labels: Tensor
    vectors: Tensor
    probabilities: Tensor
    texts: Tensor


def metric(
    name: str, dataset: str | Dataset | Task = "streets", *, evaluators: Sequence[str] = (), device: str = "auto"
) -> "TensorMetric":
    """The metric called `name`, with the classes of `dataset` and the words for them.

    Args:
        dataset: a name or path as for `--dataset`, a Dataset, or a Task, for which no evaluator can be opened.
        evaluators: `ROLE=ID[@FILE]` each, as `--evaluator` takes them.
        device: where evaluators run; `auto` is a GPU if there is one.

    Raises:
        UserError: there is no such metric or dataset.
    """
    kind = registry("metrics")[name]
    source = open_dataset(dataset) if isinstance(dataset, str) else dataset
    where = choose_device(device)

    def open_its() -> EvaluatorSet:
        if isinstance(source, Task):
            raise UserError(f"{name} reads images with an evaluator, which a Task lacks; give a dataset")
        evaluator_set = open_evaluators(source, [name], list(evaluators), where)
        for reason in evaluator_set.missing.values():
            raise UserError(reason)
        return evaluator_set

    return TensorMetric(kind(source if isinstance(source, Task) else Task.of(source)), open_its)


class TensorMetric:
    """A metric that takes tensors. `metric` is the one inside, for `state`, `load` and `merge`.

    Its evaluator is opened when images first need it: not where the caller gives what it says of them (`Seen`), when
    the images themselves may be left out.
    """

    def __init__(self, metric: Metric, open_evaluators: Callable[[], EvaluatorSet]):
        self.metric = metric
        self._open = open_evaluators
        self._added = {"generated": 0, "real": 0}

    def update(
        self,
        images: Tensor | None = None,
        *,
        layouts: Tensor | None = None,
        prompts: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        **seen: Unpack[Seen],
    ) -> None:
        """Add B images, uint8 [B,3,H,W], with generated layouts [B,H,W] and B texts where the metric needs them.

        Args:
            ids: of the images, unique; without them they are numbered, and such instances cannot be merged.
            groups: what is dependent, such as one prompt drawn twice; every image for itself if nothing is.

        Raises:
            UserError: something is missing, or of another shape or type.
        """
        tensors = {"images": images, "layouts": layouts, **seen}
        self._add(self.metric.update, "generated", tensors, {"prompts": prompts, "ids": ids, "groups": groups})

    def update_reference(
        self, images: Tensor | None = None, *, layouts: Tensor | None = None, **seen: Unpack[Seen]
    ) -> None:
        """Add real images to what a distance is measured from; as for `update`."""
        if "reference" not in self.metric.needs:
            raise UserError(f"{self.metric.title} has no reference; leave out update_reference")
        self._add(self.metric.update_reference, "real", {"images": images, "layouts": layouts, **seen}, {})

    def compute(self) -> Score:
        """The score of all images so far; where there is none, the reason."""
        return self.metric.compute()

    def per_sample(self) -> Mapping[str, Mapping[str, float | None]]:
        """column -> id -> value, "" for the value itself; empty for a number of the whole set."""
        return self.metric.per_sample()

    @cached_property
    def _evaluators(self) -> EvaluatorSet:
        return self._open()

    def _add(
        self,
        update: Callable[[Samples, Mapping[str, Features]], None],
        source: str,
        tensors: Mapping[str, Any],
        texts: Mapping[str, Sequence[str] | None],
    ) -> None:
        given = _checked(tensors, len(self.metric.task.classes))
        seen = {name: given[name] for name in given if name in Seen.__annotations__}
        roles, title = self.metric.roles, self.metric.title
        if seen and len(roles) != 1:
            raise UserError(f"{title} reads {len(roles)} evaluators; give images instead of {min(seen)}")
        if not given or ("images" in self.metric.needs and not seen and "images" not in given):
            raise UserError(f"{title} needs images" + (f", or what its {roles[0]} says of them" if roles else ""))
        n, size = len(next(iter(given.values()))), next((x.shape[-2:] for x in given.values() if x.ndim > 2), (1, 1))
        prompts, ids, groups = (_texts(name, texts.get(name), n) for name in ("prompts", "ids", "groups"))
        samples = Samples(
            given.get("images", torch.zeros(1, dtype=torch.uint8).expand(n, 3, *size)),
            given.get("layouts"),
            source if "layouts" in given else None,
            prompts,
            ids or sample_ids(n, self._added[source]),
            groups,
        )
        if seen or not roles:
            if "texts" in seen:
                seen["texts"] = Texts(seen["texts"], torch.zeros(n, dtype=torch.bool))
            update(samples, dict.fromkeys(roles, Features(**seen)))
        else:
            for start in range(0, n, BATCH):  # as the engine does: a network's last digits depend on it
                batch = samples.take(range(start, min(start + BATCH, n)))
                update(batch, self._evaluators.features(batch))
        self._added[source] += n


def _checked(tensors: Mapping[str, Any], classes: int) -> dict[str, Any]:
    """Those that are there, if they agree in B, H and W and are of the right type."""
    given = {name: torch.as_tensor(value) for name, value in tensors.items() if value is not None}
    sizes: dict[str, int] = {}
    for name, x in given.items():
        if name not in SHAPES:
            raise UserError(f"there is no argument {name!r}; evaluators say {', '.join(Seen.__annotations__)}")
        lengths = dict(zip(SHAPES[name], x.shape, strict=False))
        known = {"3": 3, **{axis: sizes.get(axis, length) for axis, length in lengths.items() if axis in "BHW"}}
        if x.ndim != len(SHAPES[name]) or any(known.get(axis, length) != length for axis, length in lengths.items()):
            shape = ",".join(str(known.get(axis, axis)) for axis in SHAPES[name])
            raise UserError(f"{name} is of shape {tuple(x.shape)}; give [{shape}]")
        sizes |= {axis: length for axis, length in lengths.items() if axis in "BHW"}
        if name == "images" and x.dtype != torch.uint8:
            raise UserError(f"images are {x.dtype}; give torch.uint8, from 0 to 255")
        if SHAPES[name] == "BHW":
            if x.is_floating_point() or (x.numel() and not 0 <= int(x.min()) <= int(x.max()) < classes):
                raise UserError(f"{name} must be whole numbers from 0 to {classes - 1}, the dataset's classes")
            given[name] = x.long()
    return given


def _texts(name: str, texts: Sequence[str] | None, n: int) -> tuple[str, ...] | None:
    if texts is None:
        return None
    if isinstance(texts, str) or len(texts) != n or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{name} must be a list of {n} texts, one an image")
    return tuple(texts)
