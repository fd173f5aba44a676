"""Open what a command names, checking it before anything long begins."""

import math
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from gcbench.core import run_spec
from gcbench.core.checkpoint import Card
from gcbench.core.contracts import Dataset, Model, ModelOptions, Size
from gcbench.core.errors import UserError
from gcbench.core.record import ModelInfo, Training
from gcbench.core.registry import in_file, registry
from gcbench.core.run_spec import DEFAULT_GUIDANCE, LONG_GUIDANCE
from gcbench.training.trained_model import TrainedModel

DEFAULT_METRICS = ("semantic-recall", "miou", "fsd", "fd")


def open_model(name: str, dataset: Dataset, options: ModelOptions) -> Model:
    model = registry("models")[name].open(dataset, options)
    for attribute in ("conditional", "guided", "layouts"):
        if not isinstance(getattr(model, attribute, None), bool):
            raise UserError(f"model {name} does not say whether it is {attribute}; set {attribute} to True or False")
    if model.layouts and model.derives:
        raise UserError(f"model {name} draws layouts and derives them too; set layouts or derives to False")
    return model


def model_info(name: str, model: Model) -> ModelInfo:
    """What a record says of `model`. A model from a file is known by the file's hash too, so that an edited one is
    another model.

    Raises:
        UserError: `describe` gives what a record has no place for.
    """
    facts = dict(model.describe())
    if file := in_file(name):
        facts["note"] = ", ".join(filter(None, (str(facts.get("note") or ""), file.origin)))
    try:
        return ModelInfo.model_validate({**facts, "name": name})
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise UserError(
            f"describe() of model {name} gives a {where!r} that records do not take; it may give"
            f" {', '.join(key for key in ModelInfo.model_fields if key not in ('name', 'layouts'))}"
        ) from None


def training_of(model: Model) -> Training | None:
    """What the card of the model's weights says of its training; None for a model without a card."""
    if not isinstance(model, TrainedModel):
        return None
    said = model.card.provenance
    return Training(images=images_seen(model.card), seconds=said.get("seconds"), device=str(said.get("device") or ""))


def images_seen(card: Card) -> int | None:
    """Steps x batch size, and what the weights had seen that the training started from; None where that is unknown."""
    said = card.provenance
    before = said.get("init", {}).get("images") if "--init" in said.get("command", "") or "init" in said else 0
    steps, batch = said.get("steps"), said.get("train", {}).get("batch_size")
    return None if before is None or steps is None or batch is None else before + steps * batch


def metric_names(text: str | Sequence[str] | None) -> list[str]:
    """Names from `a,b` or a list; the default four. UserError with near names for an unknown one."""
    return list(DEFAULT_METRICS if text is None else run_spec.metric_names(text))


def guidance_scales(text: str | Sequence[float] | None, until_saturation: bool = False) -> list[float]:
    """Scales in rising order, each once. UserError for what is no finite number of at least 0."""
    if text is None:
        return list(LONG_GUIDANCE if until_saturation else DEFAULT_GUIDANCE)
    parts: Sequence[Any] = text.split(",") if isinstance(text, str) else text
    scales = []
    for part in parts:
        try:
            scale = float(part)
        except (TypeError, ValueError):
            raise UserError(f"guidance scale {part!r} is no number; write --guidance 1,2,4") from None
        if not math.isfinite(scale) or scale < 0:
            raise UserError(f"guidance scale {part} is not a finite number of at least 0; write --guidance 1,2,4")
        scales.append(scale)
    return sorted(set(scales))


def parse_size(text: str | Size | None) -> Size | None:
    """`HxW`, as in 64x128."""
    if text is None or not isinstance(text, str):
        return text
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UserError(f"size {text!r} is not HxW in pixels; write for example --size 64x128")
    return int(parts[0]), int(parts[1])


def check_n(n: int) -> None:
    if n < 2:
        raise UserError(f"-n {n}: at least 2 images are needed to measure a spread; the default is 64")


def check_precision(precision: str) -> None:
    if precision not in ("fp32", "bf16"):
        raise UserError(f"--precision {precision!r}: choose fp32 or bf16")


def check_device(device: str) -> str:
    """The torch device of that name; `auto` is the GPU if there is one. Refuses one that is not there."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise UserError(f"--device {device!r} is none; choose auto, cpu or cuda") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device {device}: torch finds no GPU here; choose auto or cpu")
    return device


def evaluation_split(dataset: Dataset, split: str | None) -> str:
    """The split that prompts and references come from: the named one, else the last."""
    chosen = split or dataset.splits[-1]
    if chosen not in dataset.splits:
        raise UserError(f"{dataset.name} has no split {chosen!r}; choose {' or '.join(dataset.splits)}")
    return chosen
