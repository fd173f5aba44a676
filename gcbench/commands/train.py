"""`gcbench train`: a model or an evaluator of a dataset, by its own recipe, with the one trainer.

Imports torch when it begins: what cannot be is refused before.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gcbench.core.errors import UserError, calling
from gcbench.core.files import weights_file
from gcbench.core.registry import registry
from gcbench.core.run_spec import MOST_STEPS, check_count
from gcbench.data.open_dataset import open_dataset
from gcbench.data.subset import Subset
from gcbench.runs.lock import Lock
from gcbench.runs.progress import Bar, console, say
from gcbench.runs.work_shares import local_rank

if TYPE_CHECKING:
    from gcbench.training.processes import Processes
    from gcbench.training.recipe import Recipe

CONFIG, STATE, WEIGHTS = "config.json", "state.pt", "model.safetensors"
"""Of a training's directory: what is trained and how, what resumes, and what came of it."""
TRAINED = (CONFIG, STATE, "state.before.pt", WEIGHTS, "model.json", "log.csv", "previews", "kept", "track")
"""All that it holds."""

BUILDING = (ArithmeticError, AssertionError, LookupError, RuntimeError, ValueError)
"""What building a network raises for sizes that do not go together."""


def recipe_of(
    model: str | None,
    evaluator: str | None,
    dataset_name: str,
    settings: dict[str, Any],
    limit: int | None = None,
    split: str | None = None,
) -> Recipe:
    """The recipe of a registered model or evaluator, on the first `limit` pairs of the dataset's training split, or of
    `split`. UserError: neither or both are named, what is named cannot be trained, or no pair is left."""
    if limit is not None and limit < 1:
        raise UserError(f"--limit {limit}: at least 1 pair is needed to train")
    if (model is None) == (evaluator is None):
        raise UserError("name one thing to train: --model NAME or --evaluator ROLE")
    kind, name = ("models", model) if model else ("evaluators", str(evaluator))
    registry(kind).check(name)
    dataset = open_dataset(dataset_name)
    if len(dataset.splits) < 2:
        raise UserError(
            f"{dataset_name} has the one split {dataset.splits[0]!r}: what is trained on it could only be measured on"
            " what it has seen; add a split to train on, train/images and train/layouts"
        )
    if split is not None and split not in (trainable := (*dataset.splits[:-1], *dataset.parts)):
        known = ", ".join(trainable)
        held = "is held out" if split in dataset.splits else f"is no split of {dataset_name}"
        raise UserError(f"--split {split}: it {held}; train on one of {known}")
    from gcbench.training.recipe import Recipe

    trained = registry(kind)[name]
    if trained.recipe is None:
        raise UserError(f"{name} has nothing to train; see `gcbench list {kind}`")
    if limit is not None or split is not None:
        dataset = Subset(dataset, limit, split)
    with calling(f"recipe() of {name}"):
        try:
            recipe = trained.recipe(dataset, settings)
        except BUILDING as error:
            fault = f"these settings build no network ({error})"
            raise UserError(f"{fault}; change what --set or --config gives") from error
    if not isinstance(recipe, Recipe):
        raise UserError(f"recipe() of {name} gave no gcbench.training.recipe.Recipe; mend it")
    if recipe.train_config.resize == "nearest":
        recipe.dataset.resize_by_nearest()
    return recipe


def finished(recipe: Recipe, out: Path, pairs: int) -> bool:
    """Whether `out` holds the training of `recipe` on so many pairs, come to its end."""
    if not all((out / name).is_file() for name in (CONFIG, WEIGHTS)):
        return False
    from gcbench.core.checkpoint import read_card
    from gcbench.training.saving import planned, read_plan, same

    cfg, provenance = recipe.train_config, read_card(out / WEIGHTS).provenance
    ended = {"steps": cfg.steps, "pairs": pairs, "dataset_version": recipe.dataset.version}
    return same(read_plan(out / CONFIG, recipe), planned(recipe), recipe) and ended.items() <= provenance.items()


def train(
    *,
    model: str | None = None,
    evaluator: str | None = None,
    dataset: str = "streets",
    settings: dict[str, Any] | None = None,
    steps: int | None = None,
    out: Path | None = None,
    resume: bool = False,
    limit: int | None = None,
    split: str | None = None,
    init: Path | None = None,
    device: str = "auto",
) -> Path:
    """Train and return the checkpoint's path; with `resume`, a finished training is left as it is.

    settings: dotted keys, as `--set` and `--config` give them. steps: in place of the recipe's own. split: of the
    dataset, in place of the one that it is trained on by itself. limit: use its first pairs only. init: a checkpoint
    whose weights the training starts from.
    """

    def asked() -> Recipe:
        if steps is not None:
            check_count("--steps", steps, 1, MOST_STEPS)
        if init is not None:
            weights_file(init, model or evaluator)
        laid_over = {} if steps is None else {"train.steps": steps}
        return recipe_of(model, evaluator, dataset, (settings or {}) | laid_over, limit, split)

    recipe = asked() if local_rank() is None else None  # what one process refuses it refuses before torch is loaded
    from gcbench.evaluation.setup import choose_device
    from gcbench.training.processes import Processes

    processes = Processes(cpu=choose_device(device) == "cpu")
    spoke, console.quiet = console.quiet, console.quiet or not processes.first  # one speaks for all
    try:
        recipe = recipe or processes.together(asked)
        path = _train(recipe, model or str(evaluator), out, resume, init, choose_device(device), processes)
    except (Exception, KeyboardInterrupt):  # its process group ends with the process
        raise
    except SystemExit:
        processes.end()
        raise
    finally:
        console.quiet = spoke
    processes.end()
    return path


def _train(
    recipe: Recipe, what: str, out: Path | None, resume: bool, init: Path | None, device: str, processes: Processes
) -> Path:
    """what: how the recipe's model or evaluator was named."""
    from gcbench.core.checkpoint import copy_card, load, start_from
    from gcbench.runs.provenance import provenance
    from gcbench.training.pairs import Pairs
    from gcbench.training.tracking import check_tracker
    from gcbench.training.trainer import train as run_trainer

    opened, cfg = recipe.dataset, recipe.train_config
    chosen = opened.splits[0]
    out = Path(out or Path("runs") / f"train-{Path(what.partition(':')[0]).stem}-{opened.name}")
    n = len(opened.ids(chosen))

    def started() -> dict[str, Any]:
        if cfg.compile and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
            raise UserError("setting train.compile=true: there is no C++ compiler here; install g++, or leave it out")
        if cfg.precision == "fp16" and device == "cpu":
            raise UserError("setting train.precision='fp16': it needs a GPU and there is none here; take bf16 or fp32")
        check_tracker(cfg.track)
        if init is None:
            return {}
        card = recipe.card({})
        loaded = load(init, kind=card.kind, name=card.name, classes=card.classes)
        if new := start_from(recipe.weights(), loaded):
            say(f"{init} lacks {len(new)} tensors of this network ({new[0]}, ...); they start fresh")
        return {"init": {"weights": loaded.card.sha256, "images": loaded.card.images_seen}}

    before = processes.together(started)
    with ExitStack() as stack:

        def ended() -> bool:
            """Whether there is nothing to do; the first process, which writes, finds out."""
            if not processes.first:
                return False
            stack.enter_context(Lock(out))
            if not resume and any((out / name).exists() for name in (CONFIG, STATE, WEIGHTS)):
                raise UserError(
                    f"{out} already holds a training run; add --resume to continue it or choose another --out"
                )
            return resume and init is None and finished(recipe, out, n)

        if processes.told(processes.together(ended))[0]:
            if processes.first:
                copy_card(out / WEIGHTS)
            say(f"{out} holds the finished training of {what}.")
            return out / WEIGHTS
        count = sum(p.numel() for p in recipe.parameters() if p.requires_grad)
        shared = f" by {processes.count} processes" if processes.count > 1 else ""
        say(
            f"Training {what} ({count / 1e6:.2f} M parameters) on {n} pairs of {opened.name}/{chosen}"
            f" at {recipe.size[0]}×{recipe.size[1]}: {cfg.steps} steps of {cfg.batch_size} images{shared}. Run: {out}"
        )
        with Bar("reading pairs", n) as bar:
            crops = cfg.crop != (1.0, 1.0)
            pairs = Pairs(
                opened,
                chosen,
                recipe.size,
                for_crops=crops,
                tick=partial(bar.advance, processes.count),
                processes=processes,
            )
        with Bar("training", cfg.steps) as bar:
            facts = provenance(device)
            path = run_trainer(
                recipe,
                pairs,
                out,
                provenance={
                    "command": facts.command,
                    "device": facts.device,
                    "packages": facts.packages,
                    "dataset_version": opened.version,
                    "split": chosen,
                    "pairs": n,
                    "train": cfg.model_dump(),
                    **before,
                },
                resume=resume,
                device=device,
                tick=lambda step, loss, speed: bar.set(step, f"loss {loss:.3f}, {speed:.0f} images/s"),
            )
        say(f"Wrote {path} ({path.stat().st_size / 2**20:.1f} MiB)")
    return path
