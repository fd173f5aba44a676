"""The segmenters of `gcbench downstream`, trained and tested one after the other; a killed run resumes within one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gcbench.commands.train import BUILDING, TRAINED, finished
from gcbench.core.checkpoint import read_card
from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError, calling
from gcbench.core.registry import registry
from gcbench.data.pair_set import PAIRS, PairSet
from gcbench.evaluation.held_out_test import HeldOut
from gcbench.evaluation.scoring import SEGMENTER
from gcbench.runs.downstream_record import DOWNSTREAM, Arm, ArmName, Downstream, DownstreamSpec, Trained
from gcbench.runs.manifest import Manifest
from gcbench.runs.progress import Bar, say
from gcbench.runs.run_directory import RunDirectory
from gcbench.training.pairs import Pairs
from gcbench.training.recipe import Recipe
from gcbench.training.trainer import train

TRAINING = "training"
"""Of the run directory: the training that is under way."""
SAVED = {"train.save_every": 50}
"""Laid under the settings: what a kill loses."""

PairArrays = tuple[np.ndarray, np.ndarray]


def recipe_of(pairs: Dataset, settings: Mapping[str, Any], *, spec: DownstreamSpec) -> Recipe:
    """The segmenter's own recipe, on other pairs. UserError: --set builds none."""
    evaluator = registry("evaluators")[SEGMENTER]
    asked = {**SAVED, **spec.settings, "train.steps": spec.steps, **settings}
    with calling(f"recipe() of {SEGMENTER}"):
        try:
            recipe: Recipe = evaluator.recipe(pairs, asked)
        except BUILDING as error:
            raise UserError(f"these settings build no network ({error}); change what --set gives") from error
    return recipe


class Trainings(NamedTuple):
    """Trainings to be made. pairs: `real` and by model, a set for each seed or one for all."""

    spec: DownstreamSpec
    make: Callable[[Dataset, Mapping[str, Any]], Recipe]
    dataset: Dataset
    pairs: dict[str, list[PairArrays]]
    test: HeldOut
    folder: RunDirectory
    device: str

    def run(self, result: Downstream, trained: list[tuple[ArmName, str | None]]) -> None:
        """Train and test what `result` lacks, and write it after each."""
        arms = [result.trained(arm, of) for arm, of in trained]
        todo = [
            (seed, arm)
            for seed in range(self.spec.seeds)
            for arm in arms
            if all(score.seed != seed for score in arm.seeds)
        ]
        if done := len(arms) * self.spec.seeds - len(todo):
            say(f"{done} of {len(arms) * self.spec.seeds} segmenters are tested already; {len(todo)} to go.")
        with Bar("training", self.spec.steps * len(todo)) as bar:
            for number, (seed, arm) in enumerate(todo):
                place = self.folder.path / TRAINING / f"{arm.arm}-{self._number(arm)}-seed-{seed}"
                begun = number * self.spec.steps

                def tick(
                    step: int, loss: float, speed: float, arm: Arm = arm, seed: int = seed, begun: int = begun
                ) -> None:
                    bar.set(begun + step, f"{arm.of or ''} {arm.arm}, seed {seed}: loss {loss:.3f}".strip())

                self.folder.check()
                weights, seconds = self._train(arm, seed, place, tick)
                score = self.test.score(weights, self.device)
                arm.seeds.append(Trained(seed=seed, miou=score, seconds=seconds))
                arm.pairs = len(self.pairs["real"][0][0]) * (2 if arm.arm == "both" else 1)
                self.folder.check()
                result.write(self.folder.path / DOWNSTREAM)
                _remove_training(place)
        remove_trainings(self.folder.path)

    def _number(self, arm: Arm) -> int:
        return list(self.pairs).index(arm.of or "real")

    def _pairs(self, arm: Arm, seed: int) -> PairArrays:
        own, real = (sets[seed % len(sets)] for sets in (self.pairs[arm.of or "real"], self.pairs["real"]))
        if arm.arm != "both":
            return own
        shares = zip(self.spec.shares, (own, real), strict=True)
        parts = [pairs for share, pairs in shares for _ in range(share)]
        return np.concatenate([images for images, _ in parts]), np.concatenate([layouts for _, layouts in parts])

    def _train(self, arm: Arm, seed: int, place: Path, tick: Any) -> tuple[Path, float]:
        """One segmenter, from where it was stopped: its file, and the seconds of the training."""
        pairs = PairSet(self.dataset, f"{self.dataset.name}-{arm.arm}", *self._pairs(arm, seed))
        recipe = self.make(pairs, {"train.seed": seed})
        weights, n, cfg = place / "model.safetensors", len(pairs.images), recipe.train_config
        if not finished(recipe, place, n):
            facts = {
                "dataset_version": pairs.version,
                "split": PAIRS,
                "pairs": n,
                "train": cfg.model_dump(),
                "device": self.device,
            }
            held = Pairs(pairs, PAIRS, recipe.size, for_crops=cfg.crop != (1.0, 1.0))
            weights = train(recipe, held, place, provenance=facts, resume=True, device=self.device, tick=tick)
        return weights, float(read_card(weights).provenance.get("seconds", 0.0))


def _remove_training(place: Path) -> None:
    """Remove what a training wrote; its numbers are in the result."""
    Manifest(files=[*TRAINED]).remove(place)
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()


def remove_trainings(out: Path) -> None:
    folder = out / TRAINING
    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        if place.is_dir():
            Manifest(files=[*TRAINED]).refuse_removal(place, {})
            _remove_training(place)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
