"""Open what a run names: dataset, model, evaluators; and say under which protocol it will be measured."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from pydantic import ValidationError

from gcbench.core.checkpoint import Card
from gcbench.core.contracts import Dataset, Metric, Model, ModelOptions, Reading
from gcbench.core.errors import UserError, calling
from gcbench.core.files import text_hash
from gcbench.core.memory import keep_freed_memory
from gcbench.core.protocol import Protocol
from gcbench.core.record import ModelInfo, Record, Training
from gcbench.core.reference import Prompts, Reference
from gcbench.core.registry import in_file, registry, with_argument
from gcbench.core.run_spec import RunSpec, Size
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.real_sets import RealSets, open_against, training_set
from gcbench.evaluation.scoring import Scoring, open_evaluators
from gcbench.runs.provenance import provenance
from gcbench.runs.work_shares import local_rank

FEW = 12
"""Words, or samples, that a sentence names."""


class Prepared(NamedTuple):
    """What a sweep works with. record: its protocol, model and provenance, without points."""

    model: Model
    scoring: Scoring
    reference: Reference
    prompts: Prompts
    record: Record


def prepare(spec: RunSpec, device: str) -> Prepared:
    """Open model, dataset and evaluators, and say under which protocol they will be measured.
    UserError: anything of these that the caller must correct."""
    dataset = open_dataset(spec.dataset)
    split = evaluation_split(dataset, spec.split)
    model = open_model(spec, dataset, device)
    reference = Reference(dataset, split, size_of(spec, dataset, model))
    if model.conditional and not dataset.has_texts:
        raise UserError(f"{dataset.name} has no texts for {spec.model} to draw from; name their column, text=COLUMN")
    derives, given = model.derives, "layouts" if model.layouts_given else spec.given
    metrics = metrics_of(spec, given)
    evaluators = open_evaluators(dataset, metrics, spec.evaluators, device, derives)
    trained = training_of(model)
    sets = RealSets(open_against(spec.reference, reference), training_set(reference, trained))
    scoring = Scoring(dataset, metrics, evaluators, derives, given, sets)
    warnings = [] if sets.against is None else list(sets.against.notes)
    prompts = reference.prompts(spec.n, spec.per_prompt)
    record = Record(
        kind="sweep",
        spec=spec.stored(),
        model=model_info(spec.model, model).model_copy(update={"layouts": scoring.derived}),
        training=trained,
        protocol=protocol_of(
            reference,
            scoring,
            n=spec.n,
            prompts=prompts.texts if model.conditional else None,
            seed=spec.seed,
            sampler=sampler_of(spec.model, model),
        ),
        reading=reading_of(spec.model, model, prompts.texts),
        provenance=provenance(device).model_copy(update={"warnings": warnings}),
    )
    return Prepared(model, scoring, reference, prompts, record)


def metrics_of(spec: RunSpec, given: str | None) -> tuple[str, ...]:
    """What was asked for, else what is measured by default; where layouts were given, what takes a metric's place."""
    names, known = spec.metrics or default_metrics(), registry("metrics")
    return names if given != "layouts" else tuple(dict.fromkeys(known[name].when_given or name for name in names))


def default_metrics() -> tuple[str, ...]:
    """The metrics that say they are measured unasked, those first that are better when higher."""
    known: dict[str, type[Metric]] = registry("metrics").working()
    chosen = {name: metric for name, metric in known.items() if vars(metric).get("default")}  # not what it inherits

    def order(name: str) -> tuple[bool, bool, bool, str]:
        axis = chosen[name].axis
        return chosen[name].direction != "higher", axis != "correspondence", axis == "realism", name

    return tuple(sorted(chosen, key=order))


def protocol_of(
    reference: Reference,
    scoring: Scoring,
    *,
    n: int,
    prompts: tuple[str, ...] | None,
    seed: int | None = None,
    sampler: Mapping[str, float | str] | None = None,
) -> Protocol:
    """The protocol of n samples made from `prompts` (None: without texts) and scored by `scoring`."""
    against = scoring.sets.against
    return Protocol(
        dataset=reference.dataset.name,
        dataset_version=reference.version,
        split=reference.split,
        n=n,
        size=reference.size,
        resize=reference.dataset.resize,
        evaluators={role: evaluator.id for role, evaluator in scoring.evaluators.by_role.items()},
        readers=scoring.readers,
        thresholds=scoring.thresholds,
        prompts=text_hash(*prompts) if prompts else None,
        seed=seed,
        sampler=dict(sampler or {}),
        given=scoring.given,
        reference=None if against is None else against.name,
        reference_n=len(reference) if against is None else against.n,
        metrics=registry("metrics").files([*scoring.metrics, *scoring.missing]),
    )


def evaluation_split(dataset: Dataset, split: str | None) -> str:
    """The split that prompts and references come from: the named one, else the last."""
    chosen = split or dataset.splits[-1]
    if chosen not in dataset.splits:
        raise UserError(f"{dataset.name} has no split {chosen!r}; choose {' or '.join(dataset.splits)}")
    return chosen


def size_of(spec: RunSpec, dataset: Dataset, model: Model | None = None) -> Size:
    """The size asked for, else the model's, else the dataset's."""
    return spec.size or (model.size if model is not None else None) or dataset.size


def choose_device(device: str) -> str:
    """`auto` is the GPU if there is one, that of its rank for a process of a launcher. The process then works there.
    UserError: a device that torch does not know or that is not there."""
    import torch

    keep_freed_memory()
    if device == "auto":
        rank = local_rank() or 0
        gpu = "cuda" if rank == 0 else f"cuda:{rank % max(torch.cuda.device_count(), 1)}"
        return gpu if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise UserError(f"--device {device!r} is none; choose auto, cpu or cuda") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device {device}: torch finds no GPU here; choose auto or cpu")
    return device


def open_model(spec: RunSpec, dataset: Dataset, device: str) -> Model:
    """The model that `spec` names, with its weights.
    UserError: it cannot be opened, or does not say what the contract asks of it."""
    name = spec.model
    kind = registry("models")[name]
    base, upper = spec.cascade or (spec.checkpoint, None)
    if upper is not None and not getattr(kind, "staged", False):
        raise UserError(f"--cascade: {name} has one stage; leave it out, or give its weights as --checkpoint")
    how: Any = spec.precision
    options = ModelOptions(base, device, how, spec.steps, spec.settings, upper, with_argument(name)[1])
    with calling(f"model {name}"):
        model = kind.open(dataset, options)
    if not isinstance(model, Model):
        raise UserError(f"model {name}: open gave {type(model).__name__}, not a Model; return the opened model")
    for attribute in ("conditional", "guided", "layouts", "derives"):
        if not isinstance(getattr(model, attribute, None), bool):
            raise UserError(f"model {name} does not say whether it is {attribute}; set {attribute} to True or False")
    if model.layouts and model.derives:
        raise UserError(f"model {name} draws layouts and derives them too; set layouts or derives to False")
    if spec.given is not None and spec.given not in model.given:
        takes = f"only {' or '.join(sorted(model.given))} can be" if model.given else "it draws all of them itself"
        raise UserError(f"model {name} cannot be given the {spec.given} of its samples: {takes}; leave them out")
    size = model.size
    if size is not None and (len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size)):
        raise UserError(f"model {name} gives its size as {size!r}; set size to (height, width) in pixels, or to None")
    return model


def reading_of(name: str, model: Model, texts: Sequence[str]) -> Reading | None:
    """What `model` leaves out of the texts; None if it does not say, or reads none. UserError: it gives no Reading."""
    if not model.conditional:
        return None
    with calling(f"model {name}"):
        reading = model.reading(texts)
    if reading is not None and not isinstance(reading, Reading):
        kind = type(reading).__name__
        raise UserError(f"reading() of model {name} gives {kind}; give gcbench.core.contracts.Reading, or None")
    return reading


def reading_lines(name: str, reading: Reading | None) -> list[str]:
    """A sentence for each thing that the model `name` leaves out of its texts."""
    if reading is None:
        return []

    def counted(words: Mapping[str, int]) -> str:
        return ", ".join(word if count == 1 else f"{word} ({count})" for word, count in words.items())

    def listed(ids: Sequence[str]) -> str:
        more = f" and {len(ids) - FEW} more" if len(ids) > FEW else ""
        return f"{'sample' if len(ids) == 1 else 'samples'} {', '.join(ids[:FEW])}{more}"

    lines = []
    if reading.unknown:
        shown = dict(islice(reading.unknown.items(), FEW))
        more = f", and {len(reading.unknown) - FEW} more" if len(reading.unknown) > FEW else ""
        lines.append(f"{name} does not know these words and leaves them out: {counted(shown)}{more}.")
    if reading.denied:
        lines.append(f"What a text denies is left out of what {name} reads: {counted(reading.denied)}.")
    if reading.cut:
        lines.append(f"{name} reads only the beginning of the text, which is too long, of {listed(reading.cut)}.")
    if reading.empty:
        which = listed(reading.empty)
        lines.append(f"{name} reads nothing of the text of {which}: the image is that of an empty text.")
    return lines


def model_info(name: str, model: Model) -> ModelInfo:
    """What a record says of `model`. A model from a file is known by the file's hash too, so that an edited one is
    another model.
    UserError: `describe` gives what a record has no place for.
    """
    with calling(f"model {name}"):
        described = model.describe()
    if not isinstance(described, Mapping):
        raise UserError(f"describe() of model {name} gives {type(described).__name__}; give facts by name")
    facts = dict(described)
    if file := in_file(name):
        facts["note"] = ", ".join(filter(None, (str(facts.get("note") or ""), file.origin)))
    try:
        return ModelInfo.model_validate({**facts, "name": name})
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise UserError(
            f"describe() of model {name} gives a {where!r} that records do not take; it may give"
            f" {', '.join(key for key in ModelInfo.model_fields if key not in ('name', 'layouts'))}"
        ) from None


def sampler_of(name: str, model: Model) -> dict[str, float | str]:
    """The sampler's settings, for the protocol. UserError for what is no number or text."""
    with calling(f"model {name}"):
        settings = dict(model.sampler())
    for key, value in settings.items():
        if not isinstance(key, str) or not isinstance(value, int | float | str) or value != value:
            raise UserError(f"sampler() of model {name} gives {key!r}: {value!r}; give numbers and texts by name")
    return settings


def training_of(model: Model) -> Training | None:
    """What the card of the model's weights says of its training, and those of its `stages`, if it has any; None for a
    model without a card."""
    first, *others = getattr(model, "stages", None) or (model,)
    card = getattr(first, "card", None)
    if not isinstance(card, Card):
        return None
    facts = card.provenance
    further = [training for stage in others if (training := training_of(stage)) is not None]
    return Training(
        images=card.images_seen,
        split=facts.get("split"),
        seed=train.get("seed") if isinstance(train := facts.get("train"), dict) else None,
        seconds=facts.get("seconds"),
        device=str(facts.get("device") or ""),
        further=further,
    )
