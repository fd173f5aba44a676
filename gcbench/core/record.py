"""What a run writes down: protocol, scores and provenance, as one JSON file of a fixed schema."""

import json
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gcbench.core.errors import UserError
from gcbench.core.files import write_text
from gcbench.core.protocol import Protocol
from gcbench.core.score import Score

SCHEMA_VERSION: Final = 2


class ModelInfo(BaseModel):
    """Which model was measured: its name, the hash of its weights, where they come from.

    layouts: `derived:<evaluator id>` if the segmenter that evaluated read them from its images.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    weights: str | None = None
    trained_on: str | None = None
    parameters: int | None = None
    note: str | None = None
    layouts: str | None = None


class Training(BaseModel):
    """How the measured weights came to be.

    images: seen in training, steps x batch size, earlier trainings that it started from included. seconds, device:
    of the last training.
    """

    model_config = ConfigDict(extra="forbid")

    images: int | None = None
    seconds: float | None = None
    device: str = ""


class Point(BaseModel):
    """One setting of a model: a guidance scale (None where the model has none) and its scores."""

    model_config = ConfigDict(extra="forbid")

    guidance: float | None = None
    scores: dict[str, Score] = Field(default_factory=dict)
    pareto: bool | None = None
    seconds: dict[str, float] = Field(default_factory=dict)


class SelfCheck(BaseModel):
    """What the evaluators of a run say of all n real pairs of the split.

    real: with their own captions and layouts; permuted: with captions and layouts permuted among them.
    """

    model_config = ConfigDict(extra="forbid")

    n: int
    real: dict[str, Score]
    permuted: dict[str, Score]


class Provenance(BaseModel):
    """Where and when it was measured. Not part of what must be equal between two runs.

    seconds: a stage. warnings: what a reader of the scores should know of the input. before: the processes that
    measured earlier points, if the run was stopped and went on.
    """

    model_config = ConfigDict(extra="forbid")

    gcbench: str
    packages: dict[str, str] = Field(default_factory=dict)
    python: str = ""
    git_commit: str | None = None
    git_dirty: bool | None = None
    device: str = ""
    command: str = ""
    created: str = ""
    seconds: dict[str, float] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)
    before: list["Provenance"] = Field(default_factory=list)


class Record(BaseModel):
    """One run: a list of points under one protocol, with the ceiling and the floor of each metric.

    ceiling: real images with their own captions; floor: the same with captions permuted among images.
    self_check: the evaluators on all real pairs of the split, if it was asked for. training: None for a model that
    has none, and in records of before it was written down.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[2] = SCHEMA_VERSION
    kind: str
    model: ModelInfo
    training: Training | None = None
    protocol: Protocol
    ceiling: dict[str, Score] = Field(default_factory=dict)
    floor: dict[str, Score] = Field(default_factory=dict)
    self_check: SelfCheck | None = None
    points: list[Point] = Field(default_factory=list)
    provenance: Provenance

    @model_validator(mode="before")
    @classmethod
    def _of_schema_1(cls, content: Any) -> Any:
        """Records of schema 1 are read too: it had the same fields, three of them by other names."""
        if isinstance(content, dict) and content.get("schema_version") == 1:
            return {**_renamed(content), "schema_version": SCHEMA_VERSION}
        return content

    def write(self, path: Path) -> None:
        """Write atomically: a reader sees the old file or the new one."""
        write_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Read and validate.

        Raises:
            UserError: the file is missing, is no record, or has another schema version.
        """
        try:
            return cls.model_validate_json(Path(path).read_text())
        except FileNotFoundError:
            raise UserError(f"{path} does not exist; give a run directory or a record.json") from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read ({error}); put it back as it was") from None
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "JSON"
            raise UserError(
                f"{path} is not a record of schema {SCHEMA_VERSION} (first fault at {where}); put it back as it was, or"
                " measure the run again"
            ) from None


NAMES_OF_SCHEMA_1 = {"pictures": "images", "judge": "evaluate", "per_picture": "per_image"}


def _renamed(content: Any) -> Any:
    """JSON content with the keys of schema 1 in today's words."""
    if isinstance(content, dict):
        return {NAMES_OF_SCHEMA_1.get(key, key): _renamed(value) for key, value in content.items()}
    return [_renamed(value) for value in content] if isinstance(content, list) else content


def schema_text() -> str:
    """The JSON schema of a record, as it stands in `results/record.schema.json`."""
    return json.dumps(Record.model_json_schema(), indent=1) + "\n"
