"""The file that a training resumes from, the one saved before it, and whether the log beside them is theirs."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from gcbench.core.checkpoint import not_finite
from gcbench.core.errors import UserError
from gcbench.core.files import write_atomic, write_text
from gcbench.weights.official import load_official

STATE, BEFORE, LOG = "state.pt", "state.before.pt", "log.csv"

FORMAT = 2
"""Of the state's file. 1 had neither `format`, `rows` (of the log) nor `plan` (what config.json holds)."""

HELD: dict[str, type | tuple[type, ...]] = {
    "step": int,
    "module": dict,
    "ema": dict,
    "optimizers": dict,
    "seconds": (int, float),
    "running": dict,
}


def save_state(out: Path, state: dict[str, Any]) -> None:
    """Write the state; the one that it takes the place of is kept as `state.before.pt`."""

    def write(temporary: Path) -> None:
        try:
            torch.save({"format": FORMAT, **state}, temporary)
        except RuntimeError as error:  # torch.save raises it when the disk is full
            raise OSError("the disk took a part of it only") from error
        if (out / STATE).is_file():
            os.replace(out / STATE, out / BEFORE)

    write_atomic(out / STATE, write)


def load_state(out: Path) -> dict[str, Any] | None:
    """The newest state, on the CPU; None if nothing was saved yet. A process killed between the two moves of
    `save_state` has left the one before alone. UserError: it is damaged, or of a newer version."""
    file = next((file for file in (out / STATE, out / BEFORE) if os.path.lexists(file)), None)
    if file is None:
        return None
    try:
        state = load_official(file)
    except UserError as error:
        refuse(file, str(error).removeprefix(str(file)).rpartition(";")[0].strip())
    held = state.get("format", 1)
    if isinstance(held, int) and held > FORMAT:
        raise UserError(f"{file} was written by a newer version of gcbench; resume with that one")
    expected = HELD if held == 1 else {**HELD, "rows": list, "plan": dict}
    if wrong := [key for key, kind in expected.items() if not isinstance(state.get(key), kind)]:
        refuse(file, f"holds no {wrong[0]!r} of a training")
    if bad := not_finite(dict(tensors_of(state))):
        refuse(file, f"holds numbers that are not finite ({bad})")
    return state


def refuse(file: Path, reason: str) -> NoReturn:
    """Say that `file` is no state to resume from, and where the last good one is."""
    before = file.with_name(BEFORE)
    remedy = "copy it again, or train anew into another --out"
    if file.name == STATE and before.is_file():
        remedy = f"move {before} onto it, and --resume continues from the state before"
    raise UserError(f"{file} cannot be resumed from: it {reason}; {remedy}")


def tensors_of(state: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """All tensors in dicts and lists, by the way to them."""
    if isinstance(state, Tensor):
        yield name, state
    elif isinstance(state, dict | list | tuple):
        for key, value in state.items() if isinstance(state, dict) else enumerate(state):
            yield from tensors_of(value, f"{name}.{key}" if name else str(key))


Row = dict[str, Any]


def write_log(out: Path, rows: Sequence[Row]) -> None:
    stream = io.StringIO(newline="")
    fields = dict.fromkeys(key for row in rows for key in row)  # a later stage may log more
    writer = csv.DictWriter(stream, fieldnames=list(fields))
    writer.writeheader()
    writer.writerows(rows)
    if rows:
        write_text(out / LOG, stream.getvalue())


def logged(out: Path, state: dict[str, Any]) -> list[Row]:
    """The log's rows up to the state's step. UserError: the file is damaged, or of another training."""
    file = out / LOG
    rows: list[Row] | None = state.get("rows")
    remedy = "delete it, and --resume writes it anew" if rows is not None else "copy it again"
    damaged = UserError(f"{file} is not the log of the training in {out / STATE}, or is damaged; {remedy}")
    if not os.path.lexists(file):
        if rows is None and state["step"]:
            raise damaged
        return rows or []
    try:
        with open(file, newline="", encoding="utf-8") as stream:
            log = [{key: text for key, text in row.items() if text != ""} for row in csv.DictReader(stream)]
        if not log:
            raise ValueError
        if rows is None:
            return [row for row in log if int(row["step"]) <= state["step"]]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        raise damaged from None
    held = [{key: str(value) for key, value in row.items()} for row in rows]
    common = min(len(log), len(held))  # one of the two may be a save older
    if log[:common] != held[:common]:
        raise damaged
    return rows
