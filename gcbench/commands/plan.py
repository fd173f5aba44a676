"""`--plan` of `gcbench train` and `gcbench sweep`: parameters, memory by part, seconds, disk. Writes nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gcbench.commands.sweep import estimate
from gcbench.commands.train import recipe_of
from gcbench.commands.vary import check_values, runs_of
from gcbench.core.reference import Reference
from gcbench.core.registry import registry
from gcbench.core.run_spec import DEFAULT_GUIDANCE, LONG_GUIDANCE, MOST_STEPS, RunSpec, check_count
from gcbench.evaluation.generation import seconds_per_image
from gcbench.evaluation.scoring import BATCH, Scoring
from gcbench.evaluation.setup import choose_device, prepare
from gcbench.evaluation.shards import Shards, shards
from gcbench.reports.table import show_texts
from gcbench.training.plan import Peak, planned_training
from gcbench.training.recipe import Recipe

Row = tuple[str, str, str]


def plan_training(
    *,
    model: str | None = None,
    evaluator: str | None = None,
    dataset: str = "streets",
    settings: dict[str, Any] | None = None,
    steps: int | None = None,
    out: Path | None = None,
    resume: bool = False,
    limit: int | None = None,
    split: str | None = None,
    init: Path | None = None,
    device: str = "auto",
) -> None:
    """Print what the training takes that `train` begins, with the same arguments."""
    if steps is not None:
        check_count("--steps", steps, 1, MOST_STEPS)
    settings = (settings or {}) | ({} if steps is None else {"train.steps": steps})
    device = choose_device(device)
    recipes: list[Recipe] = []

    def make(more: Mapping[str, Any]) -> Recipe:
        recipes.append(recipe_of(model, evaluator, dataset, {**settings, **more}, limit, split))
        return recipes[-1]

    registered = registry("models").get(model) if model and not evaluator else None
    plan = planned_training(make, device, contentless=bool(getattr(registered, "contentless", False)))
    recipe, cfg = recipes[0], recipes[0].train_config
    pairs, (h, w) = len(recipe.dataset.ids(recipe.dataset.splits[0])), recipe.size
    larger = cfg.crop != (1.0, 1.0)
    notes = {"activations": f"{cfg.micro_batch or cfg.batch_size} images at a time; the most, gradients left out"}
    rows = [("parameters", f"{plan.parameters / 1e6:.2f} M", "that are trained")]
    rows += [(f"memory, {part}", gib(taken), notes.get(part, "")) for part, taken in plan.memory.items()]
    rows.append(("memory, in all", gib(sum(plan.memory.values())), "float32; without a frozen text encoder's weights"))
    rows.append((
        "memory of the host",
        gib(pairs * h * w * 4 * (4 if larger else 1)),
        f"{pairs} pairs at {h}×{w}{', twice as high and wide for crops' if larger else ''}",
    ))  # fmt: skip
    if plan.seconds is None:
        rows.append(("a step", "unknown", "no small network stands for this one"))
    else:
        rows.append(("a step", f"{plan.seconds:.3g} s", f"an estimate, from steps of a small network on {device}"))
        rows.append((f"{cfg.steps} steps", f"{plan.seconds * cfg.steps / 3600:.3g} h", "an estimate"))
    show(rows + [(f"disk, {file}", gib(taken), "") for file, taken in plan.disk.items()])


def plan_sweep(
    model: str = "gcdp",
    dataset: str = "streets",
    *,
    vary: Mapping[str, Sequence[Any]] | None = None,
    out: Path | None = None,
    fresh: bool = False,
    keep_samples: bool = False,
    train: bool = False,
    shard: str | None = None,
    jobs: int | None = None,
    **options: Any,
) -> None:
    """Print what the sweep takes that `sweep` begins, with the same arguments; of several runs one after the other."""
    if vary is not None:
        runs = runs_of(vary, {"model": model, "dataset": dataset, "train": train, **options})
        check_values(runs)
        for name, asked in runs.items():
            print(name)
            plan_sweep(**asked, keep_samples=keep_samples)
        return
    spec = RunSpec.of(model=model, dataset=dataset, **options)
    if train and spec.checkpoint is None:
        return plan_training(model=model, dataset=dataset, device=spec.device)
    opened, scoring, reference, _, record = prepare(spec, choose_device(spec.device))
    default = LONG_GUIDANCE if spec.until_saturation else DEFAULT_GUIDANCE
    scales: list[float | None] = list(spec.guidance or default) if opened.guided else [None]
    guided = next((scale for scale in scales if scale not in (None, 1.0)), scales[0])
    parameters = opened.describe().get("parameters")
    rows = []
    if isinstance(parameters, int):
        rows.append(("parameters", f"{parameters / 1e6:.2f} M", ""))
        rows.append(("memory, weights", gib(4 * parameters), "float32"))
    with Peak([]) as memory:
        known = seconds_per_image(spec.model, opened, reference, guided) is not None
    took = seconds_per_image(spec.model, opened, reference, guided)
    if known and took is not None:
        rows.append(("memory, activations", gib(memory.peak), "the most of one batch of one pass"))
        steps = record.protocol.sampler.get("steps")
        if isinstance(steps, float):
            rows.append(("a step of an image", f"{took / steps:.3g} s", "an estimate, from one pass"))
        rows.append(("an image", f"{took:.3g} s", "an estimate"))
    h, w = reference.size
    images = spec.n * len(scales)
    rows.append(("the sweep", f"{images} images", estimate(spec, opened, scoring, reference, scales)))
    parts = shards(spec.n, spec.batch_size)
    rows.append(("shards", str(len(parts) * len(scales)), f"of {len(parts[0])} images; as many processes can share it"))
    state = state_bytes(scoring, reference)
    rows.append(("memory, merging", gib(state * spec.n), "rows of the metrics of a scale, beside values per sample"))
    rows.append(("disk, shards", gib(state * images), "the metrics' states; gone when they are merged"))
    rows.append(("disk", gib(images * h * w * 4 if keep_samples else 0), "samples, at most; the record takes little"))
    show(rows)


def state_bytes(scoring: Scoring, reference: Reference) -> float:
    """Of a shard's file, an image: of real images, which have all that samples have."""
    count = min(BATCH, len(reference))
    with TemporaryDirectory() as folder:
        Shards(count, Path(folder)).score(range(count), scoring, lambda part, stopwatch: [reference.samples(part)])
        return sum(file.stat().st_size for file in Path(folder).rglob("*.safetensors")) / count


def show(rows: list[Row]) -> None:
    show_texts(("what", "takes", ""), rows, ("takes",))


def gib(taken: float) -> str:
    return f"{taken / 2**30:.3g} GiB"
