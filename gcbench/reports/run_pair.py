"""Two runs side by side: what of them is comparable, and the difference of each number, paired where that can be.

Knows records and per_sample.csv; measures nothing. What is said of a difference is taken from what the runs stored.
"""

from collections import ChainMap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel

from gcbench.core.protocol import Protocol
from gcbench.core.record import Point, Record
from gcbench.core.run_spec import guidance_scales, guidance_text
from gcbench.reports.record_table import declared
from gcbench.reports.table import missing
from gcbench.runs.manifest import PER_SAMPLE, RECORD
from gcbench.runs.paired import Columns, paired, values_of
from gcbench.runs.sample_table import SampleTable

BEST = "best"

OF_ALL = ("dataset", "dataset_version", "split", "n", "size", "resize", "void")
"""Fields of the protocol that concern every metric; the others concern those that declare a need or a role."""


class NotComparable(Exception):
    """Why two runs, or a metric of both, cannot be compared."""


class Row(BaseModel):
    """One number of two runs. a, b: the scores as recorded, of run A and of `run`. difference: a - b over the n images
    that both score; it and what follows as in `PairedDifference`.

    better: the letter of the run whose number is better, where the 95 % interval leaves 0 out and the metric has a
    direction. reason: why the difference, or its interval, is missing.
    """

    run: str = "B"
    metric: str
    column: str | None = None
    guidance_a: float | None = None
    guidance_b: float | None = None
    a: float | None = None
    b: float | None = None
    difference: float | None = None
    standard_error: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    n: int = 0
    pairing: Literal["images", "blocks"] | None = None
    units: int | None = None
    better: str | None = None
    reason: str | None = None


class Run(NamedTuple):
    """A run as it was stored. groups, prompts: by sample id; empty where the file does not name them."""

    letter: str
    path: Path
    record: Record
    values: Columns
    groups: dict[str, str]
    prompts: dict[str, str]

    @classmethod
    def read(cls, path: Path, letter: str) -> "Run":
        """A run directory, or its record.json; what stands beside the record is read too."""
        path = Path(path)
        file = path / RECORD if path.is_dir() else path
        record = Record.read(file)
        table = SampleTable.read(file.parent / PER_SAMPLE)
        return cls(letter, path, record, table.values, table.groups, table.prompts)

    @property
    def title(self) -> str:
        """The model's name, and the run directory's where that says more."""
        home = self.path if self.path.is_dir() else self.path.parent
        name, directory = self.record.model.name, home.resolve().name
        return name if name == directory else f"{name} ({directory})"

    @property
    def scales(self) -> str:
        return ", ".join(guidance_text(point.guidance) for point in self.record.points if point.guidance is not None)

    def never(self, metric: str) -> str:
        """Why no point has a value of the metric; empty where one has."""
        whys = [missing(point.scores[metric]) for point in self.record.points if metric in point.scores]
        return whys[0] if whys and all(whys) else ""

    @property
    def metrics(self) -> dict[str, None]:
        return dict.fromkeys(name for point in self.record.points for name in point.scores)


def best(points: Sequence[Point], metric: str) -> Point | None:
    """The point with the metric's best value, or None if it has none or no direction."""
    known = declared(metric)
    scores = [(point.scores[metric].value, point) for point in points if metric in point.scores]
    scored = [(value, point) for value, point in scores if value is not None]
    if not scored or known is None:
        return None
    return (max if known.direction == "higher" else min)(scored, key=lambda pair: pair[0])[1]


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Runs with their letters, as `run_letter` gives them."""
    return [Run.read(path, run_letter(place)) for place, path in enumerate(paths)]


def run_letter(place: int) -> str:
    """A, B, …, Z, AA, AB, …: as a spreadsheet's columns, from place 0."""
    before, letter = divmod(place, 26)
    return (run_letter(before - 1) if before else "") + chr(ord("A") + letter)


class RunPair:
    """Run A and another one. Its methods raise NotComparable with the reason."""

    def __init__(self, a: Run, b: Run):
        if not b.record.points:
            raise NotComparable(f"{b.path} holds no finished point")
        lines = a.record.protocol.differences(b.record.protocol)
        self.differences = {line.partition(":")[0]: line for line in lines}
        if unlike := [line for field, line in self.differences.items() if field in OF_ALL]:
            raise NotComparable("; ".join(unlike))
        self.a, self.b, self.groups = a, b, _groups(a, b)

    def points(self, guidance: str | float | None) -> list[tuple[Point, Point]]:
        """The points that are set side by side; none for `best`, where each metric has its own."""
        if guidance == BEST:
            return []
        a, b = self.a, self.b
        scale = None if guidance is None else guidance_scales(guidance)[0]
        lacking = [run for run in (a, b) if all(point.guidance not in (scale, None) for point in run.record.points)]
        if scale is not None and lacking:
            points = "; ".join(f"{run.path} has no point at guidance {guidance_text(scale)}" for run in lacking)
            raise NotComparable(f"{points}; choose one of {'; '.join(run.scales for run in lacking)}")
        pairs = [
            (point_a, point_b)
            for point_a in a.record.points
            for point_b in b.record.points
            if len({point_a.guidance, point_b.guidance, scale} - {None}) < 2  # those that are known agree
        ]
        if not pairs:
            scales = f"{a.path} has guidance {a.scales} and {b.path} {b.scales}"
            raise NotComparable(f"{scales}, no scale in common; --guidance {BEST} needs none")
        return pairs

    def check(self, metric: str) -> None:
        """Whether a metric was measured alike. One that is not installed may depend on everything."""
        for run, other in ((self.a, self.b), (self.b, self.a)):
            if metric not in run.metrics:
                raise NotComparable(f"only {other.letter} has it")
        a, b, known = self.a.record.protocol, self.b.record.protocol, declared(metric)
        needs = frozenset(("prompts", "reference")) if known is None else known.needs
        concerns = {
            "prompts": "prompts" in needs or None not in (a.prompts, b.prompts),
            "reference": "reference" in needs,
            "reference_n": "reference" in needs,
        }
        reasons = [line for field, line in self.differences.items() if concerns.get(field)]
        mine, theirs = self.a.record.model.layouts, self.b.record.model.layouts
        if mine and theirs and mine != theirs and (known is None or "layouts" in needs):
            reasons.append(f"layouts: {mine} against {theirs}")
        if a.given != b.given and (known is None or "layouts" in needs):
            reasons.append(f"given: {a.given or 'nothing'} against {b.given or 'nothing'}")
        measured: dict[str, list[Mapping[str, str | float]]] = {
            "evaluators": [_read_by(metric, protocol) for protocol in (a, b)],
            "thresholds": [_thresholds(metric, protocol) for protocol in (a, b)],
            "metrics": [{key: setting for key, setting in p.metrics.items() if key == metric} for p in (a, b)],
        }
        for field, (of_a, of_b) in measured.items():
            for key in sorted({*of_a, *of_b}):
                value_a, value_b = of_a.get(key), of_b.get(key)
                if value_a is None and value_b is not None:
                    reasons.append(f"{field}: {self.a.letter} has no {key}, {self.b.letter} has {value_b}")
                elif value_b is None and value_a is not None:
                    reasons.append(f"{field}: {self.b.letter} has no {key}, {self.a.letter} has {value_a}")
                elif value_a != value_b:
                    reasons.append(f"{field}: {key} {value_a} against {value_b}")
        reasons += [f"{run.letter}: {why}" for run in (self.a, self.b) if reasons and (why := run.never(metric))]
        if reasons:
            raise NotComparable("; ".join(reasons))

    def row(self, metric: str, part: str, point_a: Point, point_b: Point) -> Row:
        """One number of both runs, and the most that can be said of its difference."""
        a, b = self.a, self.b
        score_a, score_b = (s.also.get(part) if part else s for s in (point_a.scores[metric], point_b.scores[metric]))
        row = Row(run=b.letter, metric=metric, column=part or None)
        row.a, row.b = (score.value if score else None for score in (score_a, score_b))
        row.guidance_a, row.guidance_b = point_a.guidance, point_b.guidance
        gaps = [f"{run.letter}: {why}" for run, score in ((a, score_a), (b, score_b)) if (why := missing(score))]
        if gaps or score_a is None or score_b is None:
            return row.model_copy(update={"reason": "; ".join(gaps)})
        values = (
            values_of(a.values, point_a.guidance, metric, part),
            values_of(b.values, point_b.guidance, metric, part),
        )
        difference = paired(score_a, score_b, *values, self.groups, (a.letter, b.letter))
        low, high = difference.interval or (0, 0)
        known = None if part else declared(metric)
        if known is not None and not low <= 0 <= high:
            row.better = a.letter if (low > 0) == (known.direction == "higher") else b.letter
        facts = difference._replace(n=difference.n or min(score_a.n, score_b.n))._asdict()
        return row.model_copy(update={"difference": facts.pop("value"), **facts})

    def remarks(self) -> list[str]:
        """What a reader of the differences should know."""
        a, b = self.a, self.b
        mine, theirs = a.record.protocol, b.record.protocol
        keys = sorted({*mine.sampler, *theirs.sampler})
        differ = [f"sampler {key}" for key in keys if mine.sampler.get(key) != theirs.sampler.get(key)]
        if mine.seed != theirs.seed:
            differ.append(f"seed: {mine.seed} against {theirs.seed}")
        lines = [f"The models {a.letter} and {b.letter} differ in {', '.join(differ)}."] if differ else []
        if mine.prompts != theirs.prompts and None in (mine.prompts, theirs.prompts):
            blind, reader = (a.letter, b.letter) if mine.prompts is None else (b.letter, a.letter)
            lines.append(f"{blind} was made without prompts, {reader} with them.")
        if mine.given != theirs.given:
            sides = ((a.letter, mine), (b.letter, theirs))
            given = [f"{letter} was given {protocol.given or 'nothing'} of its samples" for letter, protocol in sides]
            lines.append(f"{', '.join(given)}.")
        for run in (a, b):
            if not run.values:
                file = (run.path if run.path.is_dir() else run.path.parent) / PER_SAMPLE
                lines.append(f"{file} is not there: nothing can be paired by image.")
        return lines


def _read_by(metric: str, protocol: Protocol) -> dict[str, str]:
    """Role -> id of the evaluators that a metric reads; all of the run, for a metric that is not installed."""
    known = declared(metric)
    named = {protocol.readers[metric]} if metric in protocol.readers else set()
    roles = protocol.evaluators if known is None else known.roles_where(named)
    return {role: protocol.evaluators[role] for role in roles if role in protocol.evaluators}


def _thresholds(metric: str, protocol: Protocol) -> dict[str, float]:
    return {key: value for key, value in protocol.thresholds.items() if key.rpartition(".")[0] == metric}


def _groups(a: Run, b: Run) -> dict[str, str]:
    """Sample id -> group; of the other run, where the images of one are independent of each other."""
    known = [run.groups for run in (a, b) if any(name != group for name, group in run.groups.items())]
    for name in sorted(known[0].keys() & known[-1].keys()) if known else ():
        if known[0][name] != known[-1][name]:
            groups = f"{known[0][name]!r} against {known[-1][name]!r}"
            raise NotComparable(f"the image {name} is in another group ({groups})")
    return dict(ChainMap(*known, b.groups, a.groups))
