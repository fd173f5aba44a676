"""The models whose samples or features a figure shows, opened one after the other."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gcbench.core.checkpoint import read_card
from gcbench.core.contracts import Dataset, Model
from gcbench.core.errors import UserError
from gcbench.core.files import weights_in
from gcbench.core.reference import Prompts, Reference
from gcbench.core.registry import registry
from gcbench.core.run_spec import RunSpec
from gcbench.evaluation.generation import Generator
from gcbench.evaluation.given import GivenRows
from gcbench.evaluation.setup import choose_device, evaluation_split, open_model, size_of
from gcbench.runs.progress import Bar, say


class Opened(NamedTuple):
    """A model, what it is called, and the held-out pairs at its own size whose texts it is given."""

    name: str
    model: Model
    reference: Reference
    prompts: Prompts
    spec: RunSpec

    def generator(self, bar: Bar, given: GivenRows | None = None) -> Generator:
        spec = self.spec
        return Generator(
            self.name, self.model, self.reference, self.prompts, spec.seed, spec.batch_size, bar.advance, given
        )

    def fact(self) -> str:
        """Its weights and how many images they saw in training, for a caption."""
        card = getattr(self.model, "card", None)
        seen = getattr(card, "images_seen", None)
        images = f" after {seen:,} training images".replace(",", " ") if seen else ""
        return f"{self.name} {self.model.describe().get('weights') or ''}{images}".rstrip()


def specs(spec: RunSpec, checkpoints: Sequence[Path], others: Sequence[str] = ()) -> list[RunSpec]:
    """One a checkpoint, whose card names its model; without any `spec` itself, then the same with each of `others`."""
    if not checkpoints:
        return [spec, *(spec.model_copy(update={"model": name}) for name in others if name != spec.model)]
    return [spec.model_copy(update={"model": _name(path), "checkpoint": path}) for path in checkpoints]


def _name(path: Path) -> str:
    """The model of a checkpoint, a file or the directory that holds one. UserError: it is none."""
    files = weights_in(path) if path.is_dir() else [path]
    if len(files) != 1 or not files[0].is_file():
        raise UserError(f"--checkpoint {path}: give the .safetensors file that `gcbench train` wrote")
    card = read_card(files[0])
    if card.kind != "model":
        raise UserError(f"--checkpoint {path} is of the {card.kind} {card.name!r}; give a model's")
    return card.name


def opened(specs: Sequence[RunSpec], dataset: Dataset) -> Iterator[Opened]:
    """Each model in turn; two of one name are numbered. One without weights is named and left out, but not the first.
    UserError: the first, or one with a checkpoint, cannot be opened."""
    names = [spec.model for spec in specs]
    for place, spec in enumerate(specs):
        try:
            model = open_model(spec, dataset, choose_device(spec.device))
        except UserError as error:
            if place == 0 or spec.checkpoint is not None:
                raise
            say(f"Not drawn: {error}")
            continue
        reference = Reference(dataset, evaluation_split(dataset, spec.split), size_of(spec, dataset, model))
        again = names[:place].count(spec.model)
        name = spec.model if names.count(spec.model) == 1 else f"{spec.model} ({again + 1})"
        yield Opened(name, model, reference, reference.prompts(spec.n), spec)


def with_decoder_features() -> list[str]:
    """The registered models that can say what their decoder's levels hold."""
    known: dict[str, type[Model]] = registry("models").working()
    return [name for name, kind in known.items() if kind.decoder_features is not Model.decoder_features]
