"""What a run writes down: protocol, scores and provenance, as one JSON file of a fixed schema."""

import json
import re
from html import escape
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gcbench.core.contracts import Reading
from gcbench.core.errors import UserError
from gcbench.core.files import parse_json, read_text, write_text
from gcbench.core.names import plain
from gcbench.core.protocol import Protocol
from gcbench.core.registry import registry
from gcbench.core.score import Score

if TYPE_CHECKING:
    from pandas import DataFrame

SCHEMA_VERSION: Final = 2

STEERING = "[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff]"
"""Characters that JSON leaves as they are and that a terminal or an editor obeys."""


class ModelInfo(BaseModel):
    """Which model was measured."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="As `--model` or `--name` gave it.")
    weights: str | None = Field(None, description="Hash of its weights.")
    trained_on: str | None = Field(None, description="Dataset that it was trained on.")
    parameters: int | None = Field(None, description="Number of its parameters.")
    note: str | None = Field(None, description="What else tells it from others, such as its file and the file's hash.")
    layouts: str | None = Field(
        None, description="`derived:<evaluator id>` if the segmenter that evaluated read them from its images."
    )


class Training(BaseModel):
    """How the measured weights came to be."""

    model_config = ConfigDict(extra="forbid")

    images: int | None = Field(
        None, description="Seen in training, steps x batch size; earlier trainings that it started from included."
    )
    split: str | None = Field(None, description="Of the dataset, that the last training saw; null in old records.")
    seed: int | None = Field(None, description="`train.seed` of the last training; null in old records.")
    seconds: float | None = Field(None, description="That the last training took.")
    device: str = Field("", description="Of the last training.")
    further: list["Training"] = Field(
        default_factory=list, description="Of a cascade, those of the stages after the first, in their order."
    )


class Point(BaseModel):
    """One setting of a model, and its scores."""

    model_config = ConfigDict(extra="forbid")

    guidance: float | None = Field(None, description="Guidance scale; null where the model has none.")
    scores: dict[str, Score] = Field(default_factory=dict, description="Metric -> score.")
    pareto: bool | None = Field(None, description="Whether no other point is better; null where it cannot be said.")
    seconds: dict[str, float] = Field(default_factory=dict, description="Stage -> seconds.")


class SelfCheck(BaseModel):
    """What the evaluators of a run say of all real pairs of the split."""

    model_config = ConfigDict(extra="forbid")

    n: int = Field(description="Number of the pairs.")
    real: dict[str, Score] = Field(description="Metric -> score with their own captions and layouts.")
    permuted: dict[str, Score] = Field(description="The same with captions and layouts permuted among them.")


class Provenance(BaseModel):
    """Where and when it was measured. Not part of what must be equal between two runs."""

    model_config = ConfigDict(extra="forbid")

    gcbench: str = Field(description="Version of gcbench.")
    packages: dict[str, str] = Field(default_factory=dict, description="Package -> version.")
    python: str = Field("", description="Version of Python.")
    git_commit: str | None = Field(None, description="Commit of the checkout; null for an installed package.")
    git_dirty: bool | None = Field(None, description="Whether the checkout had changes that were not committed.")
    device: str = Field("", description="Name of the device.")
    machine_kind: str = Field(
        "", description="Where samples are repeated: system and architecture of a CPU, name of a GPU; empty: not known."
    )
    command: str = Field("", description="Command line as typed; of absolute paths only the last part.")
    created: str = Field("", description="When the process began, in UTC.")
    seconds: dict[str, float] = Field(default_factory=dict, description="Stage -> seconds.")
    processes: int = Field(1, description="That made and evaluated the samples.")
    warnings: list[str] = Field(
        default_factory=list, description="What a reader of the scores should know of the input."
    )
    before: list["Provenance"] = Field(
        default_factory=list, description="The processes that measured earlier points, if the run was resumed."
    )


class Record(BaseModel):
    """One run: a list of points under one protocol, with the ceiling and the floor of each metric."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[2] = Field(SCHEMA_VERSION, description="Version of this schema.")
    kind: str = Field(description="Command that wrote it: sweep or evaluate.")
    model: ModelInfo = Field(description="What was measured.")
    training: Training | None = Field(
        None, description="How its weights came to be; null for a model without a training, and in old records."
    )
    protocol: Protocol = Field(description="All that makes its numbers comparable.")
    reading: Reading | None = Field(
        None, description="What the model left out of the prompts; null where it does not say, or reads none."
    )
    spec: dict[str, Any] = Field(default_factory=dict, description="Options of the run that were not the defaults.")
    ceiling: dict[str, Score] = Field(
        default_factory=dict, description="Metric -> score of real images with their own captions."
    )
    floor: dict[str, Score] = Field(
        default_factory=dict, description="Metric -> score of real images with captions permuted among them."
    )
    self_check: SelfCheck | None = Field(
        None, description="The evaluators on all real pairs of the split, if it was asked for."
    )
    points: list[Point] = Field(default_factory=list, description="One a guidance scale, rising.")
    provenance: Provenance = Field(description="Where and when it was measured.")

    @model_validator(mode="before")
    @classmethod
    def _of_schema_1(cls, content: Any) -> Any:
        """Records of schema 1 are read too: it had the same fields, three of them by other names."""
        if isinstance(content, dict) and content.get("schema_version") == 1:
            return {**_renamed(content), "schema_version": SCHEMA_VERSION}
        return content

    def write(self, path: Path) -> None:
        """Write atomically: a reader sees the old file or the new one."""
        write_text(path, self.json_text() + "\n")

    def json_text(self) -> str:
        """The record as JSON, characters that steer a terminal as their codes."""
        return re.sub(STEERING, lambda match: f"\\u{ord(match[0]):04x}", self.model_dump_json(indent=1))

    def rows(self) -> list[dict[str, Any]]:
        """One row a number in its metric's unit, as in `scores.csv`: whose it is, metric, column, value, interval."""
        model = self.model.name
        sets = [("model", model, point.guidance, point.pareto, point.scores) for point in self.points]
        sets += [("ceiling", "ceiling", None, None, self.ceiling), ("floor", "floor", None, None, self.floor)]
        if self.self_check is not None:
            sets.append(("self-check", "self-check", None, None, self.self_check.real))
            sets.append(("self-check", "self-check, permuted", None, None, self.self_check.permuted))
        keys = ("kind", "name", "guidance", "pareto")
        return [
            {**dict(zip(keys, head, strict=True)), "metric": metric, "column": column, **_number(metric, column, value)}
            for *head, scores in sets
            for metric, score in scores.items()
            for column, value in {"": score, **score.also}.items()
        ]

    def to_pandas(self) -> "DataFrame":
        """The numbers as a data frame: `rows`."""
        import pandas

        return pandas.DataFrame(self.rows())

    def _repr_html_(self) -> str:
        """A small table for notebooks: a row a point, then those of real images; a column a metric."""
        import pandas

        table: dict[str, dict[str, str]] = {}
        for row in self.rows():
            if not row["column"]:
                text = plain(row["reason"]) if row["value"] is None else f"{row['value']:.3f}"
                half = "" if row["low"] is None else f" ± {(row['high'] - row['low']) / 2:.3f}"
                where = row["name"] if row["guidance"] is None else f"{row['name']}, guidance {row['guidance']:g}"
                unit = f" ({row['unit']})" if row["unit"] else ""
                table.setdefault(plain(where), {})[row["metric"] + unit] = text + half
        protocol, height, width = self.protocol, *self.protocol.size
        caption = f"{protocol.dataset}/{protocol.split}: {protocol.n} images of {height}×{width}"
        return f"<p>{escape(plain(caption))}</p>" + pandas.DataFrame.from_dict(table, orient="index").to_html(na_rep="")

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Read and validate. path: a record.json, or the run directory that holds one.
        UserError: the file is missing, is no record, or has another schema version."""
        path = Path(path)
        path = path / "record.json" if path.is_dir() else path
        try:
            content = parse_json(read_text(path))
            version = content.get("schema_version") if isinstance(content, dict) else None
            if isinstance(version, int) and version not in (1, SCHEMA_VERSION):
                raise UserError(
                    f"{path} has schema {version}, and this version of gcbench reads {SCHEMA_VERSION}; read it with the"
                    " version that wrote it, or measure the run again"
                )
            return cls.model_validate(content)
        except FileNotFoundError:
            raise UserError(f"{path} does not exist; give a run directory or a record.json") from None
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error}); put it back as it was") from None
        except (ValueError, RecursionError) as error:
            where = str(error)
            if isinstance(error, ValidationError):
                where = f"first fault at {'.'.join(map(str, error.errors()[0]['loc'])) or 'JSON'}"
            raise UserError(
                f"{path} is not a record of schema {SCHEMA_VERSION} ({where}); put it back as it was,"
                " or measure the run again"
            ) from None


NAMES_OF_SCHEMA_1 = {"pictures": "images", "judge": "evaluate", "per_picture": "per_image"}


def _number(metric: str, column: str, score: Score) -> dict[str, Any]:
    """A score in the unit that its metric declares, the interval's ends within its range."""
    known = registry("metrics").get(metric)
    scale = known.scale.get(column, 1.0) if known else 1.0
    least, most = known.range if known and not column else (-inf, inf)
    low, high = score.interval or (None, None)
    return {
        "unit": known.unit if known else "",
        "value": None if score.value is None else score.value * scale,
        "standard_error": None if score.standard_error is None else score.standard_error * scale,
        "low": None if low is None else min(max(low, least), most) * scale,
        "high": None if high is None else min(max(high, least), most) * scale,
        **score.model_dump(include={"n", "unscored", "status", "reason"}),
    }


def _renamed(content: Any) -> Any:
    """JSON content with the keys of schema 1 in today's words."""
    if isinstance(content, dict):
        return {NAMES_OF_SCHEMA_1.get(key, key): _renamed(value) for key, value in content.items()}
    return [_renamed(value) for value in content] if isinstance(content, list) else content


def schema_text() -> str:
    """The JSON schema of a record, as it stands in `results/record.schema.json`."""
    return json.dumps(Record.model_json_schema(), indent=1) + "\n"


def load_record(path: str | Path) -> Record:
    """The record of a run directory, or in a record.json. UserError: neither is there, or it is no record."""
    return Record.read(Path(path))
