"""The steps of a short sampling run: which levels each goes between, and what the network reads of it.

The defaults are right; each option is a convention of the authors' public code, named after the thing, and the sampler
preset `authors` sets them all. Knows no network and no image.
"""

import math
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from gcbench.core.settings import Config
from gcbench.diffusion.schedules import Schedule, continuous_log_snr, spaced_times


class StepConfig(Config):
    """How S sampling steps lie on the schedules; u = t/T runs from 1 to 0.

    sample_times: `whole` times of 1..T, or `even`: u = i/S, which differs where S does not divide T.
    label_index: `exact` takes the layout's level at the step's own time; `floor` at u = ⌊S·u⌋/S in float32, which
    rounds down: at S = 100 eleven steps take a level that is one too clean.
    first_label_level: the first step goes from `noise` (u = 1), or from the `last` level before it, u = (S-1)/S.
    image_end: the last step goes to the `clean` image, or to the image `schedule`'s own level at 0 (0.99984 or 0.9999).
    start_time: u of the image at the first step. Below 1 its log-SNR is taken in float32, whose rounding matters there:
    -30.90 for cosine at 1 - 1e-7, and -31.00 exactly.
    """

    sample_times: Literal["whole", "even"] = "whole"
    label_index: Literal["exact", "floor"] = "exact"
    first_label_level: Literal["noise", "last"] = "noise"
    image_end: Literal["clean", "schedule"] = "clean"
    start_time: float = Field(default=1.0, gt=0.5, le=1)


class Step(NamedTuple):
    """One reverse step from t to s < t.

    image_t, image_s, label_t, label_s: alpha_bar, float64 scalars; label_t = label_s where the layout stays as it is.
    log_snr: of the image at t, float32, as the network reads it. s: where the step ends, as u; 0 at the last.
    """

    image_t: Tensor
    image_s: Tensor
    label_t: Tensor
    label_s: Tensor
    log_snr: Tensor
    s: float


def reverse_steps(image: Schedule, label: Schedule, count: int, how: StepConfig) -> list[Step]:
    """The `count` steps from u = 1 to 0. ValueError: whole times are wanted and there are fewer than `count`."""
    if how.sample_times == "whole":
        times = [t / image.steps for t in spaced_times(image.steps, count)]
    else:
        times = [(count - i) / count for i in range(count + 1)]
    in_float32 = torch.linspace(1, 0, count + 1).clamp(max=how.start_time) * count
    steps = []
    for i, (t, s) in enumerate(pairwise(times)):
        index = math.floor(float(in_float32[i])) if how.label_index == "floor" else None
        if i == 0:
            index = count - 1 if how.first_label_level == "last" else None
        between = (t, s) if index is None else (index / count, max(0, index - 1) / count)
        level = image.at(t)
        log_snr = torch.log(level / (1 - level)).float()
        if t > how.start_time:
            log_snr = continuous_log_snr(image.name, torch.tensor(how.start_time, dtype=torch.float32))
            level = log_snr.double().sigmoid()
        end = image.start if s == 0 and how.image_end == "schedule" else image.at(s)
        steps.append(Step(level, end, label.at(between[0]), label.at(between[1]), log_snr, s))
    return steps
