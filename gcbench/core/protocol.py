"""All that makes a number comparable. Scores of different protocols are never compared silently."""

from pydantic import BaseModel, ConfigDict, Field


class Protocol(BaseModel):
    """What was measured, and with what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str = Field(description="Name of the dataset.")
    dataset_version: str = Field(description="Its content: the generator's version, or a hash of the files.")
    split: str = Field(description="Split that the prompts come from, and the reference where `reference` is null.")
    n: int = Field(description="Images that were measured.")
    size: tuple[int, int] = Field(description="(H, W) in pixels.")
    resize: str = Field(description="Filter that brought images to size.")
    evaluators: dict[str, str] = Field(
        default_factory=dict, description="Role -> id: architecture, hash of the weights, input scale, precision."
    )
    readers: dict[str, str] = Field(
        default_factory=dict,
        description="Metric -> role of the evaluator that was named to take the place of its own, such as fd: encoder.",
    )
    void: str = Field("ignored where the layout is void", description="The rule for the void class.")
    thresholds: dict[str, float] = Field(
        default_factory=dict, description="`metric.threshold` -> value, such as semantic-recall.min_pixels."
    )
    prompts: str | None = Field(None, description="Hash of the prompts in order; null without prompts.")
    seed: int | None = Field(None, description="Seed of the first image; null for finished images.")
    sampler: dict[str, float | str] = Field(default_factory=dict, description="The sampler's settings, such as steps.")
    given: str | None = Field(
        None,
        description="What of each sample was given to the model: `layouts` or `images`, of a user's files with the"
        " hash of their content; null where it drew both.",
    )
    reference: str | None = Field(
        None,
        description="What the reference is, where it is not the split of the prompts: another split, or `images` or"
        " `statistics` of a user's with the hash of their content.",
    )
    reference_n: int = Field(0, description="Real images that the reference was made from; 0 where that is not known.")
    metrics: dict[str, str] = Field(
        default_factory=dict, description="Metric -> file and hash, for those that were given as FILE.py:CLASS."
    )

    def reader(self, metric: str) -> str | None:
        """What tables call the evaluator that took the place of the metric's own; None where none did."""
        role = self.readers.get(metric)
        return None if role is None else self.evaluators.get(role, role).partition("#")[0]

    def of_any_model(self) -> "Protocol":
        """Without what belongs to the model: sampler and seed. Models are compared where the rest agrees."""
        return self.model_copy(update={"sampler": {}, "seed": None})

    def differences(self, other: "Protocol") -> list[str]:
        """One clause for each field in which the two differ; empty if their scores may be compared."""
        mine, theirs = self.model_dump(), other.model_dump()
        return [f"{key}: {mine[key]!r} against {theirs[key]!r}" for key in mine if mine[key] != theirs[key]]
