"""What a run is asked to do: one object that every command builds once and every part of the engine reads.

Knows no torch: a mistake in an option is refused before anything slow is imported.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from gcbench.core.contracts import Size
from gcbench.core.errors import UserError
from gcbench.core.registry import registry, split_evaluator, with_argument

DEFAULT_GUIDANCE: Final = (1.0, 1.5, 2.0, 3.0, 4.0)
LONG_GUIDANCE: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
"""The scales of a sweep until saturation."""

MOST_IMAGES: Final = 10**7
"""Of a run, a scale."""
MOST_TRAINED: Final = 10**10
"""Images that a training sees, steps x batch size."""
MOST_STEPS: Final = 10**8
"""Of a training; a sampler has fewer."""
MOST_PIXELS: Final = 2**26
MOST_SCALES: Final = 1000
MOST_GUIDANCE: Final = 1e6
MOST_SEED: Final = 2**62

COUNTS: Final = {
    "n": ("-n", 1, MOST_IMAGES, "image; the default is 64"),
    "per_prompt": ("--per-prompt", 1, MOST_IMAGES, "image of each prompt; the default is 1"),
    "seed": ("--seed", 0, MOST_SEED, "; the default is 0"),
    "steps": ("--steps", 1, MOST_STEPS, "; the model's own by default"),
    "batch_size": ("--batch-size", 1, 2**16, "image goes through the model at a time"),
}
"""Field -> its option, the least and the most that it may be, and what a message of too little adds."""

PARTS: Final = ("layouts", "images")
"""Of a sample, which a model may be given."""
PRECISIONS: Final = ("fp32", "bf16", "fp16")


class RunSpec(BaseModel):
    """What to generate and how to measure it. Fields have the names and defaults of the command line's options.
    UserError: for each value that cannot be; it names the option."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field("gcdp", description="A registered model, FILE.py:CLASS, or NAME:ARGUMENT.")
    dataset: str = Field("streets", description="A registered dataset, or the path of a folder with a dataset.toml.")
    split: str | None = Field(None, description="Split of prompts and reference; None for the dataset's last.")
    reference: str | None = Field(
        None, description="Another reference: a split, or a path of images or of an npz of their mean and covariance."
    )
    size: Size | None = Field(None, description="(H, W) in pixels; None for the model's, else the dataset's.")
    n: int = Field(64, description="Images a guidance scale.")
    per_prompt: int = Field(1, description="Images of each prompt, one after the other; n counts all of them.")
    seed: int = Field(0, description="Seed of the first image; image i has seed + i.")
    guidance: tuple[float, ...] | None = Field(None, description="Scales, rising; 1 is plain conditional.")
    steps: int | None = Field(None, description="Sampling steps; None for the model's own.")
    settings: dict[str, Any] = Field({}, description="Further settings of the sampler, by dotted key.")
    given: str | None = Field(None, description="What of each sample the model is given: layouts or images.")
    metrics: tuple[str, ...] | None = Field(None, description="Names; None for those that are measured by default.")
    evaluators: tuple[str, ...] = Field((), description="`ROLE=ID[@FILE]`, one a role.")
    checkpoint: Path | None = Field(None, description="Weights; None to look for them.")
    cascade: tuple[Path, Path] | None = Field(None, description="Weights of a base stage and of one that enlarges.")
    batch_size: int = Field(16, description="Images that go through the model together; changes no number.")
    precision: str = Field("fp32", description="Of the model's network: fp32, bf16 or fp16.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    until_saturation: bool = Field(False, description="Stop when the watched metric no longer gains.")
    watch: str | None = Field(None, description="The metric that is watched; None for the first of correspondence.")
    axes: tuple[str, str] | None = Field(None, description="The curve's metrics, cost and gain; None to choose.")

    @classmethod
    def of(cls, **options: Any) -> "RunSpec":
        """The spec of these options. UserError: an option that there is not, or a value that it cannot have."""
        if unknown := [name for name in options if name not in cls.model_fields]:
            near = get_close_matches(unknown[0], cls.model_fields, n=1)
            raise UserError(f"unknown option {unknown[0]!r}; {f'did you mean {near[0]}?' if near else 'leave it out'}")
        try:
            return cls(**options)
        except ValidationError as error:
            fault = error.errors()[0]
            raise UserError(f"option {fault['loc'][0]}={fault['input']!r}: {fault['msg']}") from None

    def stored(self) -> dict[str, Any]:
        """The options that are not the defaults and hold for every point, for a record; of paths the last part."""
        of_points = {"guidance", "until_saturation", "watch", "axes", "batch_size", "device"}
        options = self.model_dump(mode="json", exclude_defaults=True, exclude=of_points)
        for name in ("model", "dataset", "checkpoint", "reference"):
            if name in options:
                named, argument = with_argument(options[name]) if name == "model" else (options[name], None)
                last = (named if argument is None else argument).rstrip("/").rpartition("/")[2]
                options[name] = last if argument is None else f"{named}:{last}"
        if "cascade" in options:
            options["cascade"] = [path.rpartition("/")[2] for path in options["cascade"]]
        if "evaluators" in options:
            options["evaluators"] = [re.sub(r"(?<=[=@])[^@\s]*/", "", text) for text in options["evaluators"]]
        return options

    @property
    def weights(self) -> dict[str, Path | None]:
        """Option -> the file or folder of weights that it names."""
        stages = self.cascade or ()
        return {"--checkpoint": self.checkpoint, **dict(zip(("--cascade BASE", "--cascade SR"), stages, strict=False))}

    @field_validator("model", "watch")
    @classmethod
    def _known(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            registry("models" if info.field_name == "model" else "metrics").check(value)
        return value

    @field_validator("guidance", "size", "metrics", mode="before")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        readers: dict[str, Any] = {"guidance": guidance_scales, "size": parse_size, "metrics": metric_names}
        return None if value is None else readers[str(info.field_name)](value)

    @field_validator("axes", mode="before")
    @classmethod
    def _axes(cls, value: Any) -> Any:
        if value is None:
            return None
        names = metric_names(value)
        if len(names) != 2:
            raise UserError(f"--axes {value!r}: give two metrics, cost and gain, as in --axes fid,clip-score")
        return names

    @field_validator("cascade", mode="before")
    @classmethod
    def _two_stages(cls, value: Any) -> Any:
        if value is None:
            return None
        stages = [part.strip() for part in str(value).split(",")] if isinstance(value, str | Path) else value
        if not isinstance(stages, Sequence) or len(stages) != 2 or "" in stages:
            raise UserError(f"--cascade {value}: give two checkpoints, a base stage and one that enlarges: BASE,SR")
        return tuple(stages)

    @field_validator("cascade")
    @classmethod
    def _stages_are_there(cls, stages: tuple[Path, Path] | None) -> tuple[Path, Path] | None:
        for stage in stages or ():
            if not stage.exists():
                raise UserError(f"--cascade: {stage} does not exist; give a file or folder that `gcbench train` wrote")
        return stages

    @field_validator("evaluators", mode="before")
    @classmethod
    def _evaluators(cls, value: Any) -> Any:
        check_evaluators(value or ())
        return tuple(value or ())

    @model_validator(mode="after")
    def _one_source_of_weights(self) -> Self:
        if self.cascade is not None and self.checkpoint is not None:
            raise UserError(f"--checkpoint {self.checkpoint} and --cascade both give weights; leave one out")
        return self

    @model_validator(mode="after")
    def _watch_needs_saturation(self) -> Self:
        if self.watch is not None and not self.until_saturation:
            raise UserError(f"--watch {self.watch} is for --until-saturation; add that, or leave --watch out")
        return self

    @field_validator("given", mode="before")
    @classmethod
    def _given(cls, value: Any) -> Any:
        if isinstance(value, bool):  # of finished images only their layouts can have been given
            return "layouts" if value else None
        if value is not None and value not in PARTS:
            raise UserError(f"--given {value!r}: choose {' or '.join(PARTS)}")
        return value

    @field_validator("settings", mode="before")
    @classmethod
    def _settings(cls, value: Any) -> Any:
        return dict(value or {})

    @field_validator("n", "per_prompt", "seed", "steps", "batch_size")
    @classmethod
    def _counts(cls, value: int | None, info: ValidationInfo) -> int | None:
        option, least, most, why = COUNTS[str(info.field_name)]
        return value if value is None else check_count(option, value, least, most, why)

    @field_validator("precision")
    @classmethod
    def _precision(cls, value: str) -> str:
        if value not in PRECISIONS:
            raise UserError(f"--precision {value!r}: choose {' or '.join(PRECISIONS)}")
        return value


def check_count(option: str, value: int, least: int, most: int, why: str = "") -> int:
    """The value. UserError: it is below `least` or above `most`; names the option and its bound."""
    if not least <= value <= most:
        bound = f"at least {least} {why}" if value < least else f"at most {most}"
        number = value if abs(value) < 10**30 else "with so many digits"
        raise UserError(f"{option} {number}: {bound}".rstrip().replace(" ;", ";"))
    return value


def check_given(
    layouts: Path | None, images: Path | None, repeats: int | None, options: Mapping[str, Any]
) -> tuple[Path | None, dict[str, Any]]:
    """Where what is given to a model lies, and the options of a run that is given it.
    UserError: both parts are given, or files that are not there, or `repeats` without any or beside a setting of it."""
    if layouts is not None and images is not None:
        raise UserError("--given-layouts and --given-images leave nothing to draw; give one of them")
    if repeats is None:
        settings = dict(options.get("settings") or {})
    else:
        check_count("--repeats", repeats, 1, MOST_STEPS, "; the default is 1")
        settings = {"sampler.repeats": repeats, **(options.get("settings") or {})}
        if layouts is None and images is None:
            raise UserError("--repeats is for what is given; add --given-layouts or --given-images, or leave it out")
        if settings["sampler.repeats"] != repeats:
            raise UserError(f"--repeats {repeats} and --set sampler.repeats contradict each other; leave one out")
    if options.get("given") is not None:
        raise UserError("given is for a sweep; give the files as given_layouts or given_images")
    part = "layouts" if layouts is not None else "images" if images is not None else None
    place = layouts if images is None else images
    if place is not None and not Path(place).exists():
        raise UserError(f"--given-{part} {place} is not there; give the folder, .zip or .npz that holds the {part}")
    return None if place is None else Path(place), {**options, "settings": settings, "given": part}


def guidance_scales(value: str | float | Sequence[Any]) -> tuple[float, ...]:
    """Scales in rising order, each once, from `1,2,4`, a number or numbers.
    UserError: what is no finite number of at least 0."""
    if isinstance(value, int | float):
        value = [value]
    parts: Sequence[Any] = value.split(",") if isinstance(value, str) else value
    scales = []
    for part in parts:
        try:
            scale = float(part)
        except (TypeError, ValueError, OverflowError):
            raise UserError(f"guidance scale {part!r} is no number; write --guidance 1,2,4") from None
        if not 0 <= scale <= MOST_GUIDANCE:
            raise UserError(
                f"guidance scale {part} is not a finite number of at least 0 and at most {MOST_GUIDANCE:g}; write"
                " --guidance 1,2,4"
            )
        scales.append(scale)
    if len(scales) > MOST_SCALES:
        raise UserError(f"--guidance names {len(scales)} scales; give at most {MOST_SCALES}")
    if not scales:
        raise UserError("--guidance names no scale; write --guidance 1,2,4")
    return tuple(sorted(set(scales)))


def guidance_text(scale: float | None) -> str:
    """The one spelling of a scale in files and messages: its shortest exact form, empty where there is none."""
    return "" if scale is None else repr(float(scale)).removesuffix(".0")


def parse_size(value: str | Sequence[int] | None) -> Size | None:
    """(H, W) from `64x128`, or from two numbers."""
    if value is None:
        return None
    parts = value.lower().replace("×", "x").split("x") if isinstance(value, str) else [str(part) for part in value]
    if len(parts) != 2 or not all(re.fullmatch("0*[1-9][0-9]{0,11}", part) for part in parts):
        raise UserError(f"size {value!r} is not HxW in pixels; write for example --size 64x128")
    height, width = int(parts[0]), int(parts[1])
    if height * width > MOST_PIXELS:
        raise UserError(f"size {height}x{width} has more than {MOST_PIXELS} pixels; give a smaller one")
    return height, width


ImageSize = Annotated[
    tuple[int, int],
    BeforeValidator(lambda size: parse_size(size) if isinstance(size, str) else size),
    AfterValidator(parse_size),
]
"""(H, W), or a text `HxW`: the type of a config's field."""


def metric_names(value: str | Sequence[str]) -> tuple[str, ...]:
    """Names from `a,b` or a list, each once; a metric in a file, `FILE.py:CLASS`, is called by its class.
    UserError: an unknown name (near ones are suggested), or two metrics of one name."""
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else list(value)
    asked = {part: registry("metrics").add(part) for part in parts if part}
    if not asked:
        raise UserError("--metrics names none; see `gcbench list metrics`")
    for name in (names := list(asked.values())):
        if names.count(name) > 1:
            texts = " and ".join(part for part, short in asked.items() if short == name)
            raise UserError(
                f"--metrics: {texts} are both called {name!r}; rename one class, or measure them in two runs"
            )
    return tuple(names)


def check_evaluators(specs: Sequence[str]) -> Mapping[str, str]:
    """Role -> what stands after `ROLE=`: `ID[@FILE]`, or `FILE.py:CLASS[@SPEC]`.
    UserError: another form, an unknown role, or a role given twice."""
    asked: dict[str, str] = {}
    for spec in specs:
        role, equals, rest = spec.partition("=")
        if not equals:
            raise UserError(f"--evaluator {spec!r} lacks '='; write --evaluator ROLE=ID[@FILE]")
        registry("evaluators").check(split_evaluator(role, rest)[0])
        if role in asked:
            raise UserError(f"--evaluator {spec}: {role} is given twice; give one evaluator a role")
        asked[role] = rest
    return asked
