"""Finished images as batches of samples at the reference's size."""

from collections.abc import Iterator

import numpy as np
import torch

from gcbench.core.reference import Reference
from gcbench.core.samples import Samples
from gcbench.data.finished_images import FinishedImages
from gcbench.data.unreadable_files import Unreadable, refuse
from gcbench.evaluation.scoring import batches


def read_samples(
    finished: FinishedImages,
    reference: Reference,
    source: str,
    label_ids: bool = False,
    places: range | None = None,
) -> Iterator[Samples]:
    """Batches of finished images at the reference's size, those at `places` (a multiple of BATCH, or all). After the
    first damaged one all that come later are only looked through.
    UserError: names and counts the damaged ones, at the end."""
    places = range(len(finished)) if places is None else places
    broken: list[Unreadable] = []
    for indices in batches(len(finished)):
        if indices.start < places.start or (indices.start >= places.stop and not broken):
            continue
        read = []
        for i in indices:
            try:
                read.append(finished.read(i, reference.dataset, reference.size, label_ids))
            except Unreadable as error:
                broken.append(error)
        if broken:
            continue
        drawn = [layout for _, layout in read if layout is not None]
        yield Samples(
            torch.from_numpy(np.stack([image for image, _ in read])).permute(0, 3, 1, 2).contiguous(),
            torch.from_numpy(np.stack(drawn)).long() if drawn else None,
            source if drawn else None,
            None if finished.prompts is None else tuple(finished.prompts[i][0] for i in indices),
            tuple(finished.ids[i] for i in indices),
            tuple(finished.groups[i] for i in indices),
        )
    refuse(broken, len(finished))
