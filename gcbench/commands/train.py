"""`gcbench train`: a model or an evaluator of a dataset, by its own recipe, with the one trainer."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from accelerate import PartialState

from gcbench.core.checkpoint import load, read_card, start_from
from gcbench.core.errors import UserError
from gcbench.core.registry import registry
from gcbench.data.open_dataset import open_dataset
from gcbench.data.subset import Subset
from gcbench.evaluation.setup import choose_device
from gcbench.runs.progress import Bar, Bars, say
from gcbench.runs.provenance import provenance
from gcbench.training.pairs import Pairs
from gcbench.training.recipe import Recipe, TrainConfig
from gcbench.training.trainer import planned, train

CONFIG, WEIGHTS = "config.json", "model.safetensors"
"""Of a training's directory: what is trained and how, and what came of it."""

TRAINING = "training"
"""Label of the bar that counts steps."""


BUILDING = (ArithmeticError, AssertionError, LookupError, RuntimeError, ValueError)
"""What building a network raises for sizes that do not go together."""


def recipe_of(
    model: str | None, evaluator: str | None, dataset_name: str, settings: dict[str, Any], limit: int | None = None
) -> Recipe:
    """The recipe of a registered model or evaluator, on the first `limit` training pairs of the dataset.

    Raises:
        UserError: neither or both are named, what is named cannot be trained, or no pair is left.
    """
    if limit is not None and limit < 1:
        raise UserError(f"--limit {limit}: at least 1 pair is needed to train")
    if (model is None) == (evaluator is None):
        raise UserError("name one thing to train: --model NAME or --evaluator ROLE")
    found = registry("models")[model] if model else registry("evaluators")[str(evaluator)]
    if not hasattr(found, "recipe"):
        raise UserError(f"{model or evaluator} has nothing to train; see `gcbench list models`")
    dataset = open_dataset(dataset_name)
    if len(dataset.splits) < 2:
        raise UserError(
            f"{dataset_name} has the one split {dataset.splits[0]!r}: what is trained on it could only be measured on"
            " what it has seen; add a split to train on, train/images and train/layouts"
        )
    if limit is not None:
        dataset = Subset(dataset, limit)
    try:
        return found.recipe(dataset, settings)
    except BUILDING as error:
        raise UserError(f"these settings build no network ({error}); change what --set or --config gives") from error


def finished(recipe: Recipe, out: Path, pairs: int) -> bool:
    """Whether `out` holds the training of `recipe` on so many pairs, come to its end."""
    files = (out / CONFIG, out / WEIGHTS, (out / WEIGHTS).with_suffix(".json"))
    if not all(file.is_file() for file in files):
        return False
    cfg, said = recipe.train_config, read_card(out / WEIGHTS).provenance
    ended = {"steps": cfg.steps, "pairs": pairs, "dataset_version": recipe.dataset.version}
    return json.loads((out / CONFIG).read_text()) == planned(recipe) and ended.items() <= said.items()


def check_training(cfg: TrainConfig) -> None:
    """Refuse what a run cannot do, before pairs are read."""
    if cfg.micro_batch < 0:
        raise UserError(f"setting train.micro_batch={cfg.micro_batch}: give 0 (all at once) or more")
    for key in ("steps", "batch_size", "log_every", "save_every", "preview_every"):
        if getattr(cfg, key) < 1:
            raise UserError(f"setting train.{key}={getattr(cfg, key)}: give at least 1")
    if cfg.precision not in ("fp32", "bf16"):
        raise UserError(f"setting train.precision={cfg.precision!r}: choose fp32 or bf16")
    if cfg.compile and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
        raise UserError("setting train.compile=true: there is no C++ compiler here; install g++, or leave it out")


def run_training(
    *,
    model: str | None = None,
    evaluator: str | None = None,
    dataset: str = "streets",
    settings: dict[str, Any] | None = None,
    out: Path | None = None,
    resume: bool = False,
    device: str = "auto",
    limit: int | None = None,
    init: Path | None = None,
    bars: Bars = Bar,
) -> Path:
    """Train and return the checkpoint's path; with `resume`, a finished training is left as it is.

    init: a checkpoint whose weights the training starts from. bars: what makes the progress bars.
    """
    recipe = recipe_of(model, evaluator, dataset, settings or {}, limit)
    before = None
    if init is not None:
        card = recipe.card({})
        loaded = load(init, kind=card.kind, name=card.name, classes=card.classes)
        new = start_from(recipe.weights(), loaded)
        before = {"weights": loaded.card.sha256, "images": loaded.card.images_seen}
        if new:
            say(f"{init} lacks {len(new)} tensors of this network ({new[0]}, ...); they start fresh")
    opened = recipe.dataset
    split = opened.splits[0]
    cfg = recipe.train_config
    out = out or Path("runs") / f"train-{model or evaluator}-{opened.name}"
    check_training(cfg)
    device = choose_device(device)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; choose a directory")
    if (out / CONFIG).exists() and not resume:
        raise UserError(f"{out} already holds a training run; add --resume to go on with it or choose another --out")
    n = len(opened.ids(split))
    if resume and init is None and finished(recipe, out, n):
        say(f"{out} holds the finished training of {model or evaluator}.")
        return out / WEIGHTS
    PartialState(cpu=device == "cpu").wait_for_everyone()  # no process writes there before all have looked
    count = sum(p.numel() for p in recipe.parameters() if p.requires_grad)
    say(
        f"Training {model or evaluator} ({count / 1e6:.2f} M parameters) on {n} pairs of {opened.name}/{split}"
        f" at {recipe.size[0]}×{recipe.size[1]}: {cfg.steps} steps of {cfg.batch_size} images. Run: {out}"
    )
    with bars("reading pairs", n) as bar:
        pairs = Pairs(opened, split, recipe.size, tick=bar.advance)
    with bars(TRAINING, cfg.steps) as bar:

        def tick(step: int, loss: float, speed: float) -> None:
            bar.set(step, f"loss {loss:.3f}, {speed:.0f} images/s")

        facts = provenance(device)
        path = train(
            recipe,
            pairs,
            out,
            provenance={
                "command": facts.command,
                "device": facts.device,
                "packages": facts.packages,
                "dataset_version": opened.version,
                "split": split,
                "pairs": n,
                "train": cfg.model_dump(),
                **({} if before is None else {"init": before}),
            },
            resume=resume,
            device=device,
            tick=tick,
        )
    say(f"Wrote {path} ({path.stat().st_size / 2**20:.1f} MiB)")
    return path
