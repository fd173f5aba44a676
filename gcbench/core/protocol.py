"""All that makes a number comparable. Scores of different protocols are never compared silently."""

from pydantic import BaseModel, ConfigDict, Field


class Protocol(BaseModel):
    """What was measured, and with what.

    dataset, dataset_version: the data and its content or generator version. split: the split that the
    prompts and the reference come from. n: images. size: (H, W). resize: filter that brought images to
    size. evaluators: role -> id (architecture, weights' hash, input scale, precision). void: the rule for the
    void class. prompts: hash of the prompts in order, or None. seed: first sample seed. thresholds and
    sampler: named numbers (`min_pixels`, `steps`). reference_n: images that the reference was made
    from. metrics: those of a user's files, name -> file and hash of its content.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    dataset_version: str
    split: str
    n: int
    size: tuple[int, int]
    resize: str
    evaluators: dict[str, str] = Field(default_factory=dict)
    void: str = "ignored where the layout is void"
    thresholds: dict[str, float] = Field(default_factory=dict)
    prompts: str | None = None
    seed: int | None = None
    sampler: dict[str, float | str] = Field(default_factory=dict)
    reference_n: int = 0
    metrics: dict[str, str] = Field(default_factory=dict)

    def of_any_model(self) -> "Protocol":
        """Without what belongs to the model: sampler and seed. Models are compared where the rest agrees."""
        return self.model_copy(update={"sampler": {}, "seed": None})

    def differences(self, other: "Protocol") -> list[str]:
        """One clause for each field in which the two differ; empty if their scores may be compared."""
        mine, theirs = self.model_dump(), other.model_dump()
        return [f"{key}: {mine[key]!r} against {theirs[key]!r}" for key in mine if mine[key] != theirs[key]]
