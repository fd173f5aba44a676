"""Real images beside the split of a run's prompts: what `--reference` names, and what the model was trained on."""

from typing import NamedTuple

from gcbench.core.errors import UserError
from gcbench.core.record import Training
from gcbench.core.reference import Reference
from gcbench.data.reference_file import ReferenceFile
from gcbench.data.reference_source import IMAGES, find_reference, read_reference
from gcbench.evaluation.input_warnings import reference_notes


class Against(NamedTuple):
    """What takes the place of the prompts' split as reference: images, or a mean and a covariance of features.

    name: what the protocol calls it, by its content and never by its path. n: images, 0 where that is not known.
    notes: what is not known of it, in sentences.
    """

    name: str
    n: int
    images: Reference | None = None
    summed: ReferenceFile | None = None
    notes: tuple[str, ...] = ()


class RealSets(NamedTuple):
    """against: None for the prompts' own split. training: the images that the model was trained on, as far as that is
    known: the split that its weights name, else the dataset's first; None where the dataset has no other than that of
    the prompts."""

    against: Against | None = None
    training: Reference | None = None


def open_against(text: str | None, reference: Reference) -> Against | None:
    """What `--reference` names for a run whose prompts come from `reference`; None for that split itself.
    UserError: it is not there, damaged, or too small."""
    if text is None or text == reference.split:
        return None
    place = find_reference(text, reference.dataset)
    if isinstance(place, str):
        other = Reference(reference.dataset, place, reference.size)
        return Against(place, len(other), other)
    held = read_reference(place, reference.dataset)
    if not isinstance(held, ReferenceFile):
        other = Reference(held, IMAGES, reference.size)
        if len(other) < 2:
            raise UserError(f"--reference {text} holds one image; give at least 2")
        return Against(f"images {held.version}", len(other), other, notes=reference_notes(held.survey, reference.size))
    about, notes = held.about, [f"{place} holds {', '.join(held.others)} too, not read"] if held.others else []
    if about is None:
        note = (
            f"{place} says neither which evaluator its mean and covariance are of, nor how its images were resized, nor"
            " how many they were: whether a distance from them means anything is yours to know"
        )
        return Against(f"statistics {held.hash}", 0, summed=held, notes=(note, *notes))
    if about.dataset_version != reference.version or about.dataset != reference.dataset.name:
        notes.append(f"{place} is of {about.dataset} ({about.dataset_version})")
    if about.size != reference.size:
        sizes = ["×".join(map(str, size)) for size in (about.size, reference.size)]
        notes.append(f"{place} is of images of {sizes[0]}, and the samples are {sizes[1]}")
    return Against(f"statistics {held.hash}", about.n, summed=held, notes=tuple(notes))


def training_set(reference: Reference, training: Training | None = None) -> Reference | None:
    """The images that were trained on, at the reference's size: of the split that the model's weights name
    (`training`), else of the dataset's first; None where that is the reference's own split."""
    dataset, named = reference.dataset, None if training is None else training.split
    split = named if named in (*dataset.splits, *dataset.parts) else dataset.splits[0]
    return None if split == reference.split else Reference(dataset, str(split), reference.size)


def refusal(against: Against, role: str, evaluator: str) -> str | None:
    """Why a metric that reads the evaluator of a role cannot be measured from a mean and a covariance; None if it can
    be, as far as the file says."""
    about = against.summed.about if against.summed is not None else None
    if about is None or about.evaluator == evaluator:
        return None
    return f"the reference was made by another evaluator, {about.evaluator}; this run's {role} is {evaluator}"
