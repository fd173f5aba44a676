"""`--vary KEY=V1,V2` of `gcbench sweep`: a run for each value of one setting of the sampler, in the folder `KEY=VALUE`.

Says which runs they are, and shows their records in one table. Loads torch only to open the model.
"""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gcbench.core.errors import UserError
from gcbench.core.names import check_word
from gcbench.core.record import Record
from gcbench.core.run_spec import RunSpec
from gcbench.core.settings import read_settings
from gcbench.data.open_dataset import open_dataset
from gcbench.reports.record_table import GUIDANCE, footnotes, number_columns, stage_seconds
from gcbench.reports.table import Row, Table, show
from gcbench.runs.progress import say

OPTIONS: Final = ("steps", "precision")
"""Settings of the sampler that are options of their own; all others are given by `--set`."""


def read_vary(text: str) -> dict[str, list[Any]]:
    """The setting and its values in `KEY=V1,V2`, each read as by `--set`. UserError: another form."""
    key, equals, values = text.partition("=")
    if not key or not equals:
        raise UserError(f"--vary {text!r} is not KEY=V1,V2; write for example --vary steps=10,20")
    return {key: [read_settings(None, [f"{key}={value.strip()}"])[key] for value in values.split(",")]}


def runs_of(vary: Mapping[str, Sequence[Any]], options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Name of a run's folder -> the options of its sweep, in the order of the values.

    options: what is asked of all of them; without guidance they are measured at 1, plain conditional.
    UserError: what cannot be varied, or not so; values that name no folders, or one folder twice.
    """
    if len(vary) != 1:
        raise UserError(f"--vary names {len(vary)} settings; give one and its values, as in --vary steps=10,20")
    [(key, values)] = vary.items()
    _check_options(key, options)
    if isinstance(values, str) or not all(isinstance(value, str | int | float) for value in values):
        raise UserError(f"--vary {key}: its values are no list of numbers or texts; give them as in steps=10,20")
    if len(values) < 2:
        raise UserError(f"--vary {key} has fewer than two values; give several, or use {_option(key)} for one")
    scales = options.get("guidance")
    shared = {**options, "guidance": (1.0,) if scales is None else scales}
    runs: dict[str, dict[str, Any]] = {}
    for place, value in enumerate(values):
        text = value if isinstance(value, str) else json.dumps(value)
        if not text.strip():
            raise UserError(f"--vary {key} has an empty value; write for example --vary steps=10,20")
        if key == "steps" and type(value) is not int:
            raise UserError(f"--vary steps={text}: steps are whole numbers; write for example --vary steps=10,20")
        name = check_word(f"{key}={text}", "--vary")
        if value in values[:place] or name.casefold() in map(str.casefold, runs):
            raise UserError(f"--vary {key} has the value {text} twice; give each once")
        settings = {} if key in OPTIONS else {"settings": {**(options.get("settings") or {}), key: value}}
        runs[name] = {**shared, **settings} if settings else {**shared, key: value}
    return runs


def _option(key: str) -> str:
    return f"--{key}" if key in OPTIONS else f"--set {key}"


def _check_options(key: str, options: Mapping[str, Any]) -> None:
    """UserError: the setting is none of the sampler, or an option contradicts that it is varied."""
    if key in RunSpec.model_fields and key not in OPTIONS:
        remedy = "name scales by --guidance" if key == "guidance" else "give a command for each value"
        raise UserError(f"--vary {key}: only steps, precision and what --set takes can be varied; {remedy}")
    if options.get("until_saturation"):
        raise UserError("--vary measures all values at the same scales; leave --until-saturation out")
    if options.get("train"):
        raise UserError("--vary takes finished weights; train them by `gcbench train`, and leave --train out")
    usual = RunSpec.model_fields[key].default if key in OPTIONS else None
    same = [setting for setting in options.get("settings") or () if _bare(setting) == _bare(key)]
    if same or options.get(key, usual) != usual:
        raise UserError(f"{_option(same[0] if same else key)} and --vary {key} contradict each other; leave one out")


def _bare(key: str) -> str:
    return key.removeprefix("sampler.")


def check_values(runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Open the model with every value, so that nothing is measured before all are known to be good.
    UserError: the model refuses one, or says the same of itself with two."""
    by_text: dict[str, str] = {}
    for name, options in runs.items():
        other = by_text.setdefault(_recorded(options), name)
        if other != name:
            raise UserError(
                f"--vary {name}: {options['model']} says the same of its sampler as with {other}, and their records"
                " could not be told apart; vary a setting that it has"
            )


def _recorded(options: Mapping[str, Any]) -> str:
    """What a record would say of the model and its sampler."""
    from gcbench.evaluation.setup import choose_device, model_info, open_model, sampler_of

    spec = RunSpec.of(**{name: value for name, value in options.items() if name in RunSpec.model_fields})
    model = open_model(spec, open_dataset(spec.dataset), choose_device(spec.device))
    return f"{sorted(sampler_of(spec.model, model).items())} {model_info(spec.model, model)}"


def varied_table(records: Mapping[str, Record]) -> Table:
    """A row a run and scale, then those of real images, which are the same for all. records: by their runs' names."""
    first = next(iter(records.values()))
    rows = [
        Row(name, "model", point.scores, record, point) for name, record in records.items() for point in record.points
    ]
    real = [Row("ceiling", "ceiling", first.ceiling, first), Row("floor", "floor", first.floor, first)]
    rows += [row for row in real if row.scores]
    columns = number_columns([row.scores for row in rows], first.protocol)
    lines = dict.fromkeys(line for record in records.values() for line in footnotes(record, columns, rows))
    seconds = [f"{name}: {line}" for name, record in records.items() for line in stage_seconds(record)]
    return Table("", [GUIDANCE, *columns], rows, [*lines, *seconds])


def print_records(records: Mapping[str, Record]) -> None:
    """The records of several runs, by the runs' names, as one table on standard output."""
    show([varied_table(records)])


def say_what_next(out: Path, names: Iterable[str]) -> None:
    """Name the commands that compare and show the runs `names` in `out`."""
    first, second, *_ = names
    key, equals, _ = first.partition("=")
    say(f"Paired differences: gcbench compare {shlex.quote(str(out / first))} {shlex.quote(str(out / second))}")
    say(f"One page of all: gcbench report {shlex.quote(str(out / key) + equals)}*")
