"""What `gcbench downstream` is asked, and what it writes down: protocol, arms, scores of every seed, differences.

Knows no torch: a mistake in an option is refused before anything slow is imported.
"""

import re
from math import gcd
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gcbench.core.errors import UserError
from gcbench.core.files import parse_json, read_text, write_text
from gcbench.core.names import check_label
from gcbench.core.record import ModelInfo, Provenance
from gcbench.core.registry import registry
from gcbench.core.run_spec import MOST_IMAGES, MOST_STEPS, check_count, guidance_scales, parse_size
from gcbench.core.score import Score

DOWNSTREAM: Final = "downstream.json"
MOST_SEEDS: Final = 100
MOST_SHARES: Final = 20
"""Of a ratio, in its lowest terms: pairs are repeated in memory as often as it says."""

ArmName = Literal["real", "generated", "both"]


class DownstreamSpec(BaseModel):
    """The options of `gcbench downstream`. UserError: a value that cannot be; it names the option."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runs: tuple[Path, ...] = ()
    model: str | None = None
    images: Path | None = None
    layouts: Path | None = None
    given: bool = False
    derived_by: str | None = None
    name: str | None = None
    dataset: str = "streets"
    split: str | None = None
    n: int | None = None
    seeds: int = 3
    steps: int = 200
    ratio: str = "1:1"
    guidance: float | None = None
    sampling_steps: int | None = None
    checkpoint: Path | None = None
    size: tuple[int, int] | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    evaluators: tuple[str, ...] = ()
    batch_size: int = 16
    device: str = "auto"

    @classmethod
    def of(cls, **options: Any) -> "DownstreamSpec":
        """UserError: an option that there is not, or a value that it cannot have."""
        try:
            return cls(**options)
        except ValidationError as error:
            fault = error.errors()[0]
            raise UserError(f"option {'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None

    @property
    def shares(self) -> tuple[int, int]:
        """Of generated and of real pairs in `both`, in lowest terms."""
        parts = re.fullmatch(r"(\d{1,9}):(\d{1,9})", self.ratio)
        if parts is None:
            raise UserError(f"--ratio {self.ratio!r} is no ratio; write generated:real, as in --ratio 1:1")
        generated, real = int(parts[1]), int(parts[2])
        if not generated or not real:
            raise UserError(f"--ratio {self.ratio}: `both` needs some of each; write 1:1, or 1:2 for more real pairs")
        generated, real = generated // gcd(generated, real), real // gcd(generated, real)
        if generated + real > MOST_SHARES:
            raise UserError(f"--ratio {self.ratio}: its parts add up to more than {MOST_SHARES}; give a simpler one")
        return generated, real

    @field_validator("guidance", mode="before")
    @classmethod
    def _one_scale(cls, value: Any) -> Any:
        scales = None if value is None else guidance_scales(value)
        if scales is not None and len(scales) > 1:
            raise UserError(f"--guidance {value}: pairs are taken at one scale; give one")
        return scales and scales[0]

    @field_validator("size", mode="before")
    @classmethod
    def _size(cls, value: Any) -> Any:
        return parse_size(value)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.model is None and self.images is None and not self.runs:
            raise UserError("name the pairs: a run of `sweep --keep-samples`, --model NAME, or --images and --layouts")
        if (self.model is not None) + (self.images is not None) + bool(self.runs) > 1:
            raise UserError("runs, --model and --images each name the pairs; give one of the three")
        if self.model is not None:
            registry("models").check(self.model)
        elif self.checkpoint is not None or self.sampling_steps is not None:
            option = "--checkpoint" if self.checkpoint is not None else "--sampling-steps"
            raise UserError(f"{option} is for --model; add that, or leave it out")
        if self.images is not None and self.layouts is None and self.images.suffix.lower() != ".npz":
            raise UserError(f"--images {self.images}: a segmenter learns from pairs; name the layouts with --layouts")
        if self.images is None and (self.layouts is not None or self.given or self.derived_by is not None):
            raise UserError("--layouts, --given and --derived-by are for --images; add that, or leave them out")
        if self.given and self.derived_by is not None:
            raise UserError(f"--given and --derived-by {self.derived_by} contradict each other; leave one out")
        for path in (*self.runs, self.images, self.layouts, self.checkpoint):
            if path is not None and not path.exists():
                raise UserError(f"{path} is not there; give a run directory, or the files of finished pairs")
        if self.name is not None:
            check_label(self.name, "--name")
        if self.n is not None:
            check_count("-n", self.n, 2, MOST_IMAGES, "pairs; the default is 500")
        check_count("--seeds", self.seeds, 1, MOST_SEEDS, "; the default is 3")
        check_count("--steps", self.steps, 1, MOST_STEPS, "; the default is 200")
        check_count("--batch-size", self.batch_size, 1, 2**16)
        if self.sampling_steps is not None:
            check_count("--sampling-steps", self.sampling_steps, 1, MOST_STEPS)
        if self.shares and (set_twice := self.settings.keys() & {"train.steps", "train.seed"}):
            option = {"train.steps": "--steps", "train.seed": "--seeds"}[min(set_twice)]
            raise UserError(f"--set {min(set_twice)}: all arms have the same; give {option} instead")
        return self


class DownstreamProtocol(BaseModel):
    """All that makes these numbers comparable. Of two records that differ here nothing may be compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str = Field(description="Name of the dataset.")
    dataset_version: str = Field(description="Its content.")
    train_split: str = Field(description="Split that the real pairs are drawn from.")
    test_split: str = Field(description="Split that the segmenters are tested on, all of its pairs.")
    test_n: int = Field(description="Number of those.")
    n: int = Field(description="Pairs of the arms `generated` and `real` at a seed; `both` has these and those.")
    pair_sets: int = Field(1, description="Sets of n pairs of every arm: one a seed, or one for all seeds.")
    ratio: tuple[int, int] = Field(description="Shares of generated and of real pairs in a batch of `both`.")
    size: tuple[int, int] = Field(description="(H, W) in pixels.")
    resize: str = Field(description="Filter that brought images to size.")
    steps: int = Field(description="Training steps, the same for all arms.")
    seeds: tuple[int, ...] = Field(description="One segmenter an arm and seed.")
    network: dict[str, Any] = Field(description="The segmenter that is trained.")
    train: dict[str, Any] = Field(description="How it is trained, seed and steps aside.")
    void: str = Field("ignored where the layout is void", description="The rule for the void class in the test.")


class PairsInfo(BaseModel):
    """Whose pairs were trained on."""

    model_config = ConfigDict(extra="forbid")

    model: ModelInfo = Field(description="What drew the pairs.")
    pairs: str = Field("", description="Hash of the pairs, of all seeds.")
    guidance: float | None = Field(None, description="Scale that they were drawn at; null where there is none.")
    prompts: str | None = Field(None, description="Split whose captions they were drawn from; null without texts.")
    sampler: dict[str, float | str] = Field(default_factory=dict, description="The sampler's settings.")
    layouts: str = Field("generated", description="Where the layouts are from: generated, given, derived:<evaluator>.")
    notes: list[str] = Field(default_factory=list, description="What a reader of the numbers should know of them.")


class Trained(BaseModel):
    """One segmenter, tested."""

    model_config = ConfigDict(extra="forbid")

    seed: int = Field(description="Of initial weights, order of the pairs, and augmentation.")
    miou: Score = Field(description="In [0,1], per class in its detail; the interval is over test images.")
    seconds: float = Field(description="That the training took.")


class Arm(BaseModel):
    """One set of pairs, a segmenter a seed. miou: the mean over seeds, with a t interval over seeds."""

    model_config = ConfigDict(extra="forbid")

    arm: ArmName = Field(description="Which pairs.")
    of: str | None = Field(None, description="The model; null for `real`, which all models share.")
    pairs: int = Field(0, description="Different pairs that each of them is trained on.")
    seeds: list[Trained] = Field(default_factory=list, description="One a seed.")
    miou: Score | None = Field(None, description="Mean over seeds, in [0,1], per class in its detail.")


class ArmDifference(BaseModel):
    """An arm minus `real`, paired by seed."""

    model_config = ConfigDict(extra="forbid")

    arm: ArmName = Field(description="generated or both.")
    of: str = Field(description="The model.")
    miou: Score = Field(description="Mean over seeds of the differences of mIoU, in [-1,1], with its t interval.")
    p_value: float | None = Field(None, description="Two-sided, of the paired t test over seeds.")


class Downstream(BaseModel):
    """One run of `gcbench downstream`."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    kind: Literal["downstream"] = "downstream"
    protocol: DownstreamProtocol
    models: dict[str, PairsInfo] = Field(description="What the model is called here -> its pairs.")
    left_out: dict[str, str] = Field(default_factory=dict, description="Row of a suite -> why it has no pairs.")
    arms: list[Arm] = Field(default_factory=list)
    differences: list[ArmDifference] = Field(default_factory=list)
    provenance: Provenance

    def write(self, path: Path) -> None:
        write_text(path, self.json_text() + "\n")

    def json_text(self) -> str:
        return self.model_dump_json(indent=1)

    @classmethod
    def read(cls, path: Path) -> "Downstream":
        """UserError: the file is damaged, or none of `gcbench downstream`."""
        try:
            return cls.model_validate(parse_json(read_text(path)))
        except (OSError, UserError, ValueError):
            raise UserError(
                f"{path} is damaged, or not what `gcbench downstream` writes; put it back, or add --fresh"
            ) from None

    @property
    def segmenters(self) -> int:
        """How many are trained and tested."""
        return sum(len(arm.seeds) for arm in self.arms)

    def trained(self, arm: str, of: str | None) -> Arm:
        """The arm, made if it is not there yet."""
        for held in self.arms:
            if (held.arm, held.of) == (arm, of):
                return held
        self.arms.append(Arm.model_validate({"arm": arm, "of": of}))
        return self.arms[-1]

    def differs(self, other: "Downstream") -> list[str]:
        """A clause for each setting, or model's pairs, in which the two differ."""
        mine, theirs = self.protocol.model_dump(), other.protocol.model_dump()
        clauses = [f"{key}: {mine[key]!r} against {theirs[key]!r}" for key in mine if mine[key] != theirs[key]]
        own, others = ({name: held.pairs for name, held in each.models.items()} for each in (self, other))
        return clauses + ([f"pairs: {own} against {others}"] if own != others else [])
