"""The stages of a suite: command lines of `gcbench`, and which must come before which. Runs nothing."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from gcbench.core.run_spec import guidance_text
from gcbench.runs.suite_plan import BUDGET, SEED, Row, Suite, Variant

Kind = Literal["train", "sweep", "merge", "table"]

TRAIN: Final = "train-"
"""Before a variant's name: the directory of its training."""
WEIGHTS: Final = "model.safetensors"


class Stage(NamedTuple):
    """A command line. name: of the row's variant. needs: keys of stages that must have been made before; of a table,
    that must have ended. shard: I/N of a sweep. fault: why it cannot be started."""

    kind: Kind
    name: str
    command: tuple[str, ...]
    model: str = ""
    needs: tuple[str, ...] = ()
    shard: str = ""
    fault: str | None = None

    @property
    def key(self) -> str:
        return " ".join(filter(None, (self.kind, self.name, self.shard)))

    @property
    def line(self) -> list[str]:
        """What the operating system is given."""
        return [sys.executable, "-m", "gcbench", *self.command]


@dataclass(frozen=True)
class Job:
    """What all stages of a run share. steps: of a row's training, or why it cannot be trained."""

    suite: Suite
    dataset: str
    out: Path
    device: str
    evaluators: Sequence[str]
    steps: Mapping[str, int | str]
    shards: int = 1

    def stages(self, variants: Sequence[Variant]) -> list[Stage]:
        """Trainings that these variants need, their sweeps, and the table: each after what it needs."""
        stages: dict[str, Stage] = {}
        for variant in variants:
            trained = [self._train(owner) for owner in trainings(self.suite, [variant])]
            for stage in (*trained, *self._measure(variant)):
                stages.setdefault(stage.key, stage)
        return [*stages.values(), Stage("table", "", ("suite", "show", str(self.out)), needs=tuple(stages))]

    def _train(self, variant: Variant) -> Stage:
        row, steps = variant.row, self.steps[variant.row.name]
        command = ["train", "--model", row.model, "--dataset", self.dataset]
        command += self._set(self.suite.settings(row, self.dataset))
        if variant.seed is not None:
            command += self._set([f"{SEED}={variant.seed}"])
        command += self._set([f"{BUDGET}={steps}"]) if isinstance(steps, int) else []
        command += [] if variant.split is None else ["--split", variant.split]
        command += ["--out", str(self.out / f"{TRAIN}{variant.name}"), "--resume", "--device", self.device]
        return Stage("train", variant.name, tuple(command), row.model, fault=steps if isinstance(steps, str) else None)

    def _measure(self, variant: Variant) -> Iterator[Stage]:
        """The sweep; of several shards, and then what merges them, unless it stops by what it has measured."""
        suite, row, out = self.suite, variant.row, str(self.out / variant.name)
        command = ["sweep", "--model", row.model, "--dataset", self.dataset, "-n", str(suite.n)]
        command += ["--guidance", ",".join(map(guidance_text, row.scales))]
        command += ["--until-saturation"] if row.until_saturation else []
        command += [] if suite.metrics is None else ["--metrics", ",".join(suite.metrics)]
        command += [] if suite.split is None else ["--split", suite.split]
        command += ["--size", suite.sizes[self.dataset]] if self.dataset in suite.sizes else []
        command += self._set(row.sample)
        needs: tuple[str, ...] = ()
        if owner := suite.trained_by(row):
            trained = variant._replace(row=owner).name
            command += ["--checkpoint", str(self.out / f"{TRAIN}{trained}" / WEIGHTS)]
            needs = (f"train {trained}",)
        for evaluator in self.evaluators:
            command += ["--evaluator", evaluator]
        command += ["--out", out, "--device", self.device]
        if self.shards == 1 or row.until_saturation:
            yield Stage("sweep", variant.name, tuple(command), row.model, needs)
            return
        shards = [f"{number}/{self.shards}" for number in range(1, self.shards + 1)]
        sweeps = [Stage("sweep", variant.name, (*command, "--shard", part), row.model, needs, part) for part in shards]
        yield from sweeps
        yield Stage("merge", variant.name, ("merge", out), row.model, tuple(stage.key for stage in sweeps))

    @staticmethod
    def _set(settings: Sequence[str]) -> list[str]:
        return [part for setting in settings for part in ("--set", setting)]


def trainings(suite: Suite, variants: Sequence[Variant]) -> list[Variant]:
    """Those that these variants need, each once."""
    needed = [variant._replace(row=row) for variant in variants if (row := suite.trained_by(variant.row))]
    return [*{variant.name: variant for variant in needed}.values()]


def steps_of(suite: Suite, rows: Sequence[Row], budget: Callable[[Row], int | str]) -> dict[str, int | str]:
    """By row: what `budget` says of each row that is trained for these."""
    needed = {owner.name: owner for row in rows if (owner := suite.trained_by(row))}
    return {name: budget(owner) for name, owner in needed.items()}
