"""Rows of a suite over the seeds of their trainings, and the paired difference of two rows: as tables.

Two kinds of interval, side by side: over seeds, what another training would give (Student's t); within a seed, what
other samples would give, as each run stored it or `gcbench compare` takes it. Knows records; measures nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gcbench.core.protocol import Protocol
from gcbench.core.run_spec import guidance_text
from gcbench.core.score import Score
from gcbench.reports.record_table import declared, number_column, number_columns
from gcbench.reports.run_pair import NotComparable, Run, RunPair
from gcbench.reports.run_pair import Row as Difference
from gcbench.reports.table import Cell, Column, Row, Table, missing
from gcbench.runs.suite_plan import Variant
from gcbench.statistics.intervals import student_mean

Guidance = float | None
Number = tuple[str, str]
"""Metric and column, "" for its own."""

ABOUT = (
    Column("guidance", "guidance", of=lambda row: None, repeat=True),
    Column("seed", "seed", of=lambda row: None, repeat=True),
)
"""What a line is of; its cells say."""


@dataclass
class OverSeeds:
    """protocol: of the runs, which names columns. scores: (split, row, guidance) -> seed -> metric -> score.
    differences: (split, guidance) -> number -> seed -> what is said of it. notes: what was not compared, and why."""

    protocol: Protocol | None = None
    scores: dict[tuple[str, str, Guidance], dict[int | None, Mapping[str, Score]]] = field(default_factory=dict)
    pair: tuple[str, str] | None = None
    differences: dict[tuple[str, Guidance], dict[Number, dict[int | None, Difference]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def tables(self, everything: bool = False) -> list[Table]:
        """Of each split its rows, then the differences. everything: all columns of the metrics."""
        splits = dict.fromkeys([split for split, *_ in self.scores])
        tables = [self._rows(split, everything) for split in splits]
        tables += [self._differences(split, everything) for split in dict.fromkeys(key[0] for key in self.differences)]
        lines = [
            "± is half a 95 % interval: of a mean over seeds (Student's t), of one seed over its samples.",
            *dict.fromkeys(self.notes),
        ]
        return [*tables, Table("", [], notes=lines)]

    def _rows(self, split: str, everything: bool) -> Table:
        mine = {key: by_seed for key, by_seed in self.scores.items() if key[0] == split}
        columns = number_columns(
            [scores for by_seed in mine.values() for scores in by_seed.values()], self.protocol, everything
        )
        rows, notes = [], []
        for (_, name, guidance), by_seed in mine.items():
            seeds = [*dict.fromkeys(seed for key in mine if key[1] == name for seed in mine[key])]
            if None not in by_seed:
                scores = mean_scores(by_seed, seeds)
                rows.append(Row(name, scores=scores, cells=_about(guidance, _mean_of(seeds))))
                reasons = {f"{name}, {metric}: {score.reason}." for metric, score in scores.items() if score.reason}
                notes += sorted(reasons)
            rows += [Row(name, scores=scores, cells=_about(guidance, seed)) for seed, scores in by_seed.items()]
        title = _titled("over seeds", split)
        return Table(title, [*ABOUT, *columns], rows, [*dict.fromkeys(notes)], {"trained_on": split})

    def _differences(self, split: str, everything: bool) -> Table:
        mine = {key: numbers for key, numbers in self.differences.items() if key[0] == split}
        columns: dict[Number, Column] = {}
        for number in dict.fromkeys(number for numbers in mine.values() for number in numbers):
            metric = declared(number[0])
            if everything or metric is None or number[1] in metric.headline:
                columns[number] = number_column(*number, self.protocol)
        seeds = dict.fromkeys(seed for numbers in mine.values() for by_seed in numbers.values() for seed in by_seed)
        name = " − ".join(self.pair or ())
        rows = []
        for (_, guidance), numbers in mine.items():
            lines: dict[int | str | None, dict[str, Cell]] = {}
            for number, column in columns.items():
                by_seed = numbers.get(number, {})
                if None not in seeds:
                    known = [seed for seed in seeds if seed is not None]
                    lines.setdefault(_mean_of(known), {})[column.key] = _mean_cell(column, by_seed, known)
                for seed in seeds:
                    lines.setdefault(seed, {})[column.key] = _cell(column, by_seed.get(seed))
            rows += [Row(name, "difference", cells=_about(guidance, seed) | cells) for seed, cells in lines.items()]
        whys = {
            f"{' '.join(number).strip()}: {row.reason}."
            for numbers in mine.values()
            for number in columns
            for row in numbers.get(number, {}).values()
            if row.reason
        }
        title = _titled(f"{name}, paired", split)
        return Table(title, [*ABOUT, *columns.values()], rows, sorted(whys), {"trained_on": split})


def over_seeds(runs: Sequence[tuple[Variant, Path]], pair: Sequence[str] | None = None) -> OverSeeds:
    """What these run directories hold, by split, row, guidance and seed. pair: two rows, first − second is taken of
    each split and seed."""
    collected = OverSeeds()
    read = [(variant, Run.read(path, variant.row.name)) for variant, path in runs]
    for variant, run in read:
        collected.protocol = run.record.protocol
        for point in run.record.points:
            key = (variant.split or "", variant.row.name, point.guidance)
            collected.scores.setdefault(key, {})[variant.seed] = point.scores
    if pair:
        first, second = pair
        collected.pair = (first, second)
        for variant, run in read:
            if variant.row.name == first:
                partners = [b for v, b in read if v.row.name == second and v[1:] in (variant[1:], (None, None))]
                if partners:
                    _add(collected, variant, run, partners[0])
                else:
                    collected.notes.append(f"Not compared: {variant.name} has no partner of {second}.")
    return collected


def _add(collected: OverSeeds, variant: Variant, a: Run, b: Run) -> None:
    """The differences of one split and seed."""
    where = f"{variant.name} and its partner"
    try:
        pair = RunPair(a, b)
        points = pair.points(None)
    except NotComparable as reason:
        collected.notes.append(f"Not compared: {where}: {reason}.")
        return
    for name in a.metrics | b.metrics:
        try:
            pair.check(name)
        except NotComparable as reason:
            collected.notes.append(f"Not compared: {where}, {name}: {reason}.")
            continue
        for point_a, point_b in points:
            if name in point_a.scores and name in point_b.scores:
                scale = point_b.guidance if point_a.guidance is None else point_a.guidance
                numbers = collected.differences.setdefault((variant.split or "", scale), {})
                for part in dict.fromkeys(["", *point_a.scores[name].also, *point_b.scores[name].also]):
                    numbers.setdefault((name, part), {})[variant.seed] = pair.row(name, part, point_a, point_b)


def mean_scores(by_seed: Mapping[int | None, Mapping[str, Score]], seeds: Sequence[int | None]) -> dict[str, Score]:
    """Of each metric the mean over seeds and its t interval; without a value where one of `seeds` has none."""
    names = dict.fromkeys(name for scores in by_seed.values() for name in scores)
    return {name: _mean({s: by_seed.get(s, {}).get(name) for s in seeds}, name, True) for name in names}


def _mean(scores: Mapping[int | None, Score | None], metric: str, whole: bool) -> Score:
    parts = (
        dict.fromkeys(part for score in scores.values() if score is not None for part in score.also) if whole else ()
    )
    also = {
        part: _mean({s: score and score.also.get(part) for s, score in scores.items()}, metric, False) for part in parts
    }
    gaps = [f"seed {seed}: {why}" for seed, score in scores.items() if (why := missing(score))]
    if gaps:
        return Score(status="skipped", reason="; ".join(gaps), also=also)
    present = [score for score in scores.values() if score is not None]
    known = None if not whole else declared(metric)
    within = {} if known is None else {"within": known.range}
    values = [score.value for score in present if score.value is not None]
    return Score.of(student_mean(values), n=min(score.n for score in present), also=also, **within)


def _mean_cell(column: Column, by_seed: Mapping[int | None, Difference], seeds: Sequence[int]) -> Cell:
    gaps = [str(seed) for seed in seeds if seed not in by_seed or by_seed[seed].difference is None]
    if gaps:
        return column.scaled(None, reason=f"no difference of seed {', '.join(gaps)}")
    values = [row.difference for row in by_seed.values() if row.difference is not None]
    mean = student_mean(values)
    return column.scaled(mean.value, mean.interval, mean.standard_error, n=min(row.n for row in by_seed.values()))


def _cell(column: Column, row: Difference | None) -> Cell:
    if row is None:
        return column.scaled(None, reason="not compared")
    more = {"p": row.p_value, "pairing": row.pairing, "units": row.units}
    return column.scaled(row.difference, row.interval, row.standard_error, n=row.n, reason=row.reason, more=more)


def _mean_of(seeds: Sequence[int | None]) -> str:
    return f"mean of {len(seeds)}"


def _about(guidance: Guidance, seed: int | str | None) -> dict[str, Cell]:
    return {
        "guidance": Cell(guidance_text(guidance) or None),
        "seed": Cell(None if seed is None else str(seed)),
    }


def _titled(what: str, split: str) -> str:
    return f"{what}{f', trained on {split}' if split else ''}"
