"""What a suite is: its rows and their budget, read from a TOML file."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gcbench.core.errors import UserError
from gcbench.core.files import read_toml
from gcbench.core.names import check_word
from gcbench.core.registry import in_file, registry
from gcbench.core.run_spec import (
    LONG_GUIDANCE,
    MOST_IMAGES,
    MOST_TRAINED,
    check_count,
    guidance_scales,
    metric_names,
    parse_size,
)

BUDGET = "train.steps"
"""The setting that a row may not make: the suite's `images` does."""
SEED = "train.seed"
"""The setting that a row may not make where its suite has `seeds`."""

SIZE = "model.size"
"""The setting that `sizes` of a suite makes."""

Show = Literal["table1", "figure6"]
"""What can be made of a suite's records at the end; how, says `gcbench.commands.suite`."""


ENGINES = ("local", "slurm")
MOST_JOBS = 1024
"""At once, and shards of a sweep."""


class Row(BaseModel):
    """A model, how it is trained and how it is measured.

    model: a name, or file.py:Class. name: of its folder and in tables, if it is not the model's. train, sample:
    settings as `--set` of `gcbench train` and `gcbench sweep` takes them. weights: the earlier row whose training it
    uses, instead of one of its own. splits: that it is trained on, one training each, if not the suite's. guidance: the
    scales of a guided model; until_saturation: as in `gcbench sweep`.
    optional: made only where `--only` names it.
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    name: str = ""
    train: list[str] = Field(default_factory=list)
    sample: list[str] = Field(default_factory=list)
    weights: str | None = None
    splits: list[str] | None = Field(None, min_length=1)
    guidance: list[float] | None = None
    until_saturation: bool = False
    optional: bool = False

    @model_validator(mode="after")
    def _sound(self) -> Self:
        self.name = self.name or self.model.rpartition(":")[2]
        if not re.fullmatch(r"[\w.-]*\w[\w.-]*", self.name):
            raise ValueError(f"the name {self.name!r} must do as a folder's: letters, digits, '.', '_' and '-'")
        check_word(self.name, "the name")
        if self.guidance is not None:
            self.guidance = list(guidance_scales(self.guidance))
        if self.weights is not None and self.splits is not None:
            raise ValueError(f"{self.name} takes the weights of {self.weights}, and so its splits; leave `splits` out")
        _distinct("splits", self.splits or ())
        return self

    @property
    def trainable(self) -> bool:
        """Whether it has a training of its own. UserError for an unknown model."""
        return self.weights is None and ".py" not in self.model and registry("models")[self.model].recipe is not None

    @property
    def scales(self) -> list[float]:
        """The guidance scales that are measured at most; plain conditional if none are asked for."""
        return self.guidance or (list(LONG_GUIDANCE) if self.until_saturation else [1.0])


class Variant(NamedTuple):
    """A row trained on one split with one seed; None: the dataset's own split, the settings' seed, or no training."""

    row: Row
    split: str | None = None
    seed: int | None = None

    @property
    def name(self) -> str:
        """Of its folder: the row's name, then the split and the seed where the suite has these axes."""
        parts = (self.row.name, self.split, None if self.seed is None else f"s{self.seed}")
        return "-".join(part for part in parts if part is not None)


class Suite(BaseModel):
    """Rows under one budget.

    images: that each training sees, steps x batch size, rounded up to a whole step. train: settings of all trainings,
    before a row's own. n: that each row is measured on.
    seeds: how many times each row is trained, with the seeds 0, 1, ... splits: that each row is trained on. metrics:
    what is measured, the dataset's by default. sizes: by dataset, of the images that are trained on and measured, if
    not its own. split: that the texts are of, the last by default. show: what is made of the records at the end.
    compare: two rows, whose paired differences are taken.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    title: str = ""
    images: int = Field(default=48_000, ge=1, le=MOST_TRAINED)
    n: int = Field(default=500, ge=2, le=MOST_IMAGES)
    seeds: int | None = Field(default=None, ge=1, le=1000)
    splits: list[str] | None = Field(None, min_length=1)
    metrics: list[str] | None = Field(None, min_length=1)
    train: list[str] = Field(default_factory=list)
    sizes: dict[str, str] = Field(default_factory=dict)
    split: str | None = None
    show: Show | None = None
    compare: list[str] | None = Field(None, min_length=2, max_length=2)
    row: list[Row] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        known: set[str] = set()
        for row in self.row:
            if row.name in known:
                raise ValueError(f"two rows are called {row.name!r}; give one another `name`")
            if row.weights is not None and row.weights not in known:
                raise ValueError(f"{row.name} takes the weights of {row.weights!r}, which is no earlier row")
            known.add(row.name)
            keys = {setting.partition("=")[0] for setting in (*self.train, *row.train)}
            if BUDGET in keys:
                raise ValueError(f"{BUDGET} of {row.name} follows from the suite's `images`; leave it out")
            if self.seeds is not None and SEED in keys:
                raise ValueError(f"{SEED} of {row.name} follows from the suite's `seeds`; leave it out")
        _distinct("splits", self.splits or ())
        for size in self.sizes.values():
            parse_size(size)
        names = [variant.name for row in self.row for variant in self._named(row)]
        _distinct("folders of the rows", names)
        if strange := [name for name in self.compare or () if name not in known]:
            raise ValueError(f"compare names {strange[0]!r}, which is no row")
        if self.compare and self.compare[0] == self.compare[1]:
            raise ValueError("compare names one row twice; name two")
        if all(row.optional for row in self.row):
            raise ValueError("all rows are optional; leave out `optional` of one at least")
        return self

    def chosen(self, only: str | None) -> list[Row]:
        """The rows that `only` names, with commas, by name or model; without it all that are not optional.
        UserError: a name that no row has."""
        if only is None:
            return [row for row in self.row if not row.optional]
        asked = [part.strip() for part in only.split(",") if part.strip()]
        for part in asked:
            if not any(part in (row.name, row.model) for row in self.row):
                known = ", ".join(row.name for row in self.row)
                raise UserError(f"--only {part}: the suite {self.name} has no such row; choose among {known}")
        return [row for row in self.row if {row.name, row.model} & set(asked)]

    def check_code(self, only: str | None, allowed: bool) -> list[Row]:
        """The rows that are `chosen`. UserError: one names a Python file as its model, and that is not allowed."""
        rows = self.chosen(only)
        code = dict.fromkeys(row.model for row in rows if in_file(row.model))
        if code and not allowed:
            raise UserError(
                f"the suite {self.name} would run code of {', '.join(code)}; add --allow-code if you trust it"
            )
        return rows

    def trained_by(self, row: Row) -> Row | None:
        """The row whose training gives this one's weights; None for a model without a training."""
        owner = row if row.weights is None else next(other for other in self.row if other.name == row.weights)
        return owner if owner.trainable else None

    def variants(self, row: Row) -> list[Variant]:
        """The row on each split with each seed, where it is trained; else the row alone."""
        return self._named(row) if self.trained_by(row) else [Variant(row)]

    def _named(self, row: Row) -> list[Variant]:
        owner = row if row.weights is None else next(other for other in self.row if other.name == row.weights)
        splits: Sequence[str | None] = owner.splits or self.splits or [None]
        seeds: Sequence[int | None] = [None] if self.seeds is None else range(self.seeds)
        return [Variant(row, split, seed) for split in splits for seed in seeds]

    def settings(self, row: Row, dataset: str) -> list[str]:
        """Of the row's training on a dataset, as `--set` takes them: of two for one key the later counts."""
        size = self.sizes.get(dataset)
        return [*([] if size is None else [f"{SIZE}={size}"]), *self.train, *row.train]

    def check_metrics(self) -> None:
        """UserError: a metric that there is not."""
        if self.metrics is not None:
            metric_names(self.metrics)


def _distinct(what: str, names: Sequence[str]) -> None:
    """ValueError: a name is there twice, or is none that a folder may have."""
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{what}: {name!r} is there twice")
        check_word(name, what)


def check_engine(engine: str, jobs: int | None, shards: int, slurm_options: Sequence[str]) -> None:
    """UserError: an option that cannot be."""
    if engine not in ENGINES:
        raise UserError(f"--engine {engine}: choose {' or '.join(ENGINES)}")
    if jobs is not None:
        check_count("--jobs", jobs, 1, MOST_JOBS, "stage at once")
    check_count("--shards", shards, 1, MOST_JOBS, "shard of a sweep")
    if slurm_options and engine != "slurm":
        raise UserError(f"--slurm {slurm_options[0]} is for --engine slurm; add that, or leave it out")


def bundled() -> dict[str, Suite]:
    """The suites that come with gcbench."""
    folder = Path(str(files("gcbench.runs.suites")))
    return {path.stem: read(path) for path in sorted(folder.glob("*.toml"))}


def find(name: str) -> Suite:
    """A bundled suite, or the one in the file `name`.toml. UserError: neither; or a file that is no suite."""
    if name.endswith(".toml"):
        return read(Path(name))
    known = bundled()
    if name not in known:
        near = get_close_matches(name, known, n=1) or [", ".join(known)]
        raise UserError(f"no suite is called {name!r}; choose {near[0]}, or give a file that ends in .toml")
    return known[name]


def read(path: Path) -> Suite:
    try:
        content = read_toml(path)
        return Suite.model_validate({**content, "name": check_word(path.stem, "the suite's name")})
    except OSError as error:
        raise UserError(f"suite {path} cannot be read: {error.strerror}") from None
    except UserError as error:
        raise UserError(f"suite {path}: {error}") from None
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        message = fault["msg"].removeprefix("Value error, ")
        raise UserError(f"suite {path} is none: {where}{': ' * bool(where)}{message}") from None
    except ValueError as error:
        raise UserError(f"suite {path} is not valid TOML: {error}") from None
