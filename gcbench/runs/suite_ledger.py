"""`suite.json`: the budget that all rows of a suite share, and what its stages took or why they were not made."""

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from gcbench.core.errors import UserError
from gcbench.core.files import parse_json, read_text, write_text
from gcbench.core.record import Provenance, Record
from gcbench.runs.manifest import GRID, RECORD, SHARDS
from gcbench.runs.suite_plan import Suite
from gcbench.runs.suite_stages import TRAIN, WEIGHTS, Stage

LEDGER: Final = "suite.json"
LOGS: Final = "jobs"
"""Folder of the stages' output."""


class Outcome(BaseModel):
    """What a stage took, or why it was not made. row: the variant's name. images: seen in training, or measured.
    seconds: of all its tries."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["train", "sweep", "merge"]
    row: str
    model: str
    shard: str = ""
    status: Literal["ok", "failed"] = "ok"
    reason: str | None = None
    images: int | None = None
    parameters: int | None = None
    seconds: float | None = None
    device: str = ""

    @property
    def key(self) -> str:
        """As of its `Stage`."""
        return " ".join(filter(None, (self.kind, self.row, self.shard)))

    @property
    def folder(self) -> str:
        """Where it writes."""
        return f"{TRAIN}{self.row}" if self.kind == "train" else self.row


class Ledger(BaseModel):
    """What a suite's directory holds. plan: the suite as it was last run; waiting: stages that a cluster was given."""

    model_config = ConfigDict(extra="forbid")

    suite: str
    dataset: str
    dataset_version: str
    images: int
    n: int
    evaluators: list[str] = Field(default_factory=list)
    stages: list[Outcome] = Field(default_factory=list)
    plan: Suite | None = None
    dataset_argument: str | None = None
    waiting: list[Stage] = Field(default_factory=list)

    def differences(self, other: "Ledger") -> list[str]:
        apart = {"stages", "plan", "dataset_argument", "waiting"}
        mine, theirs = self.model_dump(exclude=apart), other.model_dump(exclude=apart)
        return [f"{key}: {mine[key]!r} against {theirs[key]!r}" for key in mine if mine[key] != theirs[key]]

    def put(self, outcome: Outcome) -> None:
        """In place of an earlier try of the same stage."""
        self.stages = [old for old in self.stages if old.key != outcome.key] + [outcome]

    def collect(self, stage: Stage, out: Path, reason: str | None) -> None:
        """What came of a stage that has ended; of its files, if it was made. reason: why it was not."""
        if stage.kind == "table":
            return
        outcome = Outcome(kind=stage.kind, row=stage.name, model=stage.model, shard=stage.shard)
        if reason is not None:
            outcome.status, outcome.reason = "failed", reason
        elif stage.kind == "train":
            _add_training(outcome, out / f"{TRAIN}{stage.name}")
        elif not stage.shard:
            _add_record(outcome, Record.read(out / stage.name / RECORD))
        self.put(outcome)

    def failed(self, stages: list[Stage]) -> list[Outcome]:
        keys = {stage.key for stage in stages}
        return [outcome for outcome in self.stages if outcome.status == "failed" and outcome.key in keys]

    def write(self, folder: Path) -> None:
        write_text(folder / LEDGER, self.model_dump_json(indent=1, exclude_none=True) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Ledger":
        """UserError: `folder` holds no ledger, or a damaged one."""
        path = Path(folder) / LEDGER
        if not path.exists():
            raise UserError(f"{folder} holds no suite; give the directory that `gcbench suite run` wrote")
        return read_ledger(path)


def read_ledger(path: Path) -> Ledger:
    try:
        return Ledger.model_validate(parse_json(read_text(path)))
    except (OSError, UserError, ValueError):
        raise UserError(f"{path} is damaged; put it back as it was, or choose another --out") from None


def ended(stage: Stage, out: Path) -> bool:
    """Whether the files that a stage leaves at its end are there."""
    if stage.kind == "train":
        return (out / f"{TRAIN}{stage.name}" / WEIGHTS).is_file()
    run = out / stage.name  # a record is there from its first point on, the grid at the end
    return (run / RECORD).is_file() and (run / GRID).is_file() and not (run / SHARDS).exists()


def _add_training(outcome: Outcome, folder: Path) -> None:
    from gcbench.core.checkpoint import read_card

    card = read_card(folder / WEIGHTS)
    outcome.images, outcome.seconds = card.images_seen, card.provenance.get("seconds")
    outcome.device = card.provenance.get("device") or ""


def _add_record(outcome: Outcome, record: Record) -> None:
    tries: list[Provenance] = [record.provenance, *record.provenance.before]
    outcome.images = (record.protocol.n or 0) * len(record.points)
    outcome.parameters = record.model.parameters
    outcome.seconds = round(sum(provenance.seconds.get("sweep", 0.0) for provenance in tries), 3)
    outcome.device = record.provenance.device
