"""What a reader of the scores should know of finished images: compression on one side, other sizes, what was turned."""

from gcbench.core.contracts import Dataset, Size
from gcbench.core.reference import Reference
from gcbench.data import image_files
from gcbench.data.finished_images import Survey
from gcbench.data.pair_files import PairFiles
from gcbench.data.reference_source import ImageSet


def input_warnings(survey: Survey, size: Size, real: Reference | None) -> list[str]:
    """One line for each thing that moves scores although no image's content does. size: to which images are brought.
    real: the images that they are measured against; None where these are not there."""
    lines = []
    if real is not None:
        n, theirs = survey.sizes.total(), jpegs(real.dataset, real.split)
        if survey.jpeg * len(real) != theirs * n:
            where = "the reference" if isinstance(real.dataset, ImageSet) else str(real)
            lines.append(
                f"{survey.jpeg} of the {n} images are JPEG, and {theirs} of the {len(real)} of {where}:"
                " compression on one side alone moves every distance"
            )
    return [*lines, *resized(survey, size, "images"), *survey.notes()]


def reference_notes(survey: Survey, size: Size) -> tuple[str, ...]:
    """What is done to the images of a reference, and what beside them is not read."""
    return (*resized(survey, size, "images of the reference"), *(f"of the reference {note}" for note in survey.notes()))


def resized(survey: Survey, size: Size, what: str) -> list[str]:
    """How many of which other sizes there are, in a line, if any."""
    if set(survey.sizes) == {size}:
        return []
    counts = ", ".join(f"{count} of {h}×{w}" for (h, w), count in survey.sizes.most_common())
    return [f"{what} are resized to {size[0]}×{size[1]} by the {image_files.RESIZE} filter: {counts}"]


def jpegs(dataset: Dataset, split: str) -> int:
    """How many of a split's images are JPEG files; those of a dataset that is drawn are none."""
    if isinstance(dataset, ImageSet):
        return dataset.survey.jpeg
    if not isinstance(dataset, PairFiles):
        return 0
    return sum(pair.image.suffix.lower() in (".jpg", ".jpeg") for pair in dataset.pairs(split))
