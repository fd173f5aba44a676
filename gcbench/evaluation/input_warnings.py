"""What a reader of the scores should know of finished images: compression on one side, other sizes, what was turned."""

from gcbench.core.contracts import Dataset
from gcbench.core.reference import Reference
from gcbench.data import image_files
from gcbench.data.finished_images import Survey
from gcbench.data.pair_files import PairFiles


def input_warnings(survey: Survey, reference: Reference) -> list[str]:
    """One line for each thing that moves scores although no image's content does."""
    dataset, split, size = reference.dataset, reference.split, reference.size
    lines = []
    n, real = survey.sizes.total(), len(reference)
    theirs = jpegs(dataset, split)
    if survey.jpeg * real != theirs * n:
        lines.append(
            f"{survey.jpeg} of the {n} images are JPEG, and {theirs} of the {real} of {dataset.name}/{split}:"
            " compression on one side alone moves every distance"
        )
    if set(survey.sizes) != {size}:
        counts = ", ".join(f"{count} of {h}×{w}" for (h, w), count in survey.sizes.most_common())
        lines.append(f"images are resized to {size[0]}×{size[1]} by the {image_files.RESIZE} filter: {counts}")
    return lines + survey.notes()


def jpegs(dataset: Dataset, split: str) -> int:
    """How many of a split's images are JPEG files; those of a dataset that is drawn are none."""
    if not isinstance(dataset, PairFiles):
        return 0
    return sum(pair.image.suffix.lower() in (".jpg", ".jpeg") for pair in dataset.pairs(split))
