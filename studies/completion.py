"""One half of a pair drawn from the other: segmentation of real images, and images on real layouts, by repeats.

python -m studies.completion [--model gcdp] [--dataset streets] [-n 48] [--steps 20] [--repeats 1,5]
    [--checkpoint FILE] [--evaluator segmenter=@FILE] [--out completion]

Image to layout: mIoU of the drawn layout against the true one, beside the segmenter's on the same images, and beside
two that look at no image: the class that is most frequent at each pixel of the training split, another pair's layout.
Layout to image: layout faithfulness and FD, beside real images. The texts are the pairs' captions.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gcbench.core.contracts import Dataset, Size, Task
from gcbench.core.files import write_text
from gcbench.core.reference import Reference
from gcbench.core.run_spec import RunSpec
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.data.contact_sheet import save_png
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.generation import Generator, joined, measure_point
from gcbench.evaluation.given import given_pairs
from gcbench.evaluation.scoring import Scoring, batches, measure_real, open_evaluators
from gcbench.evaluation.setup import choose_device, open_model
from gcbench.metrics.miou import MeanIoU
from gcbench.reports.sample_grid import SheetRow, sheet
from gcbench.reports.table import show_texts
from gcbench.runs.progress import Bar, say

MEASURED = ("layout-faithfulness", "fd")
SHOWN = 4
LEARNT = 1000
"""Layouts of the training split of which the most frequent class is taken."""


def agreement(dataset: Dataset, true: Samples, labels: Tensor) -> Score:
    """mIoU of labels [B,H,W] against the layouts of the real pairs `true`, with its jackknife over their groups."""
    metric = MeanIoU(Task.of(dataset))
    metric.update(true, {"segmenter": Features(labels=labels)})
    return metric.compute()


def most_frequent(dataset: Dataset, size: Size) -> Tensor:
    """The class, void aside, that is most frequent at each pixel of the first layouts of the training split: [H,W]."""
    split, counts = dataset.splits[0], np.zeros((len(dataset.classes), *size), np.int64)
    with Bar("reading layouts", most := min(LEARNT, len(dataset.ids(split)))) as bar:
        for index in range(most):
            layout = dataset.pair(split, index, size)[1]
            np.add.at(counts, (layout, *np.indices(size)), 1)
            bar.advance()
    if dataset.void is not None:
        counts[dataset.void] = -1
    return torch.from_numpy(counts.argmax(axis=0))


def report(n: int, repeats: Sequence[int], guidance: float, out: Path | None, **options: Any) -> dict[str, Any]:
    """Print, and write to `out`.json and `out`.png, both directions at each number of repeats."""
    spec = RunSpec.of(n=n, guidance=guidance, **options)
    dataset, device = open_dataset(spec.dataset), choose_device(spec.device)
    evaluators = open_evaluators(dataset, MEASURED, spec.evaluators, device)
    scoring = Scoring(dataset, MEASURED, evaluators, given="layouts")
    rows: dict[str, dict[str, Score]] = {}
    seconds: dict[str, float] = {}
    shown: list[SheetRow] = []
    reference = prompts = true = None
    for count in repeats:
        for part in ("images", "layouts"):
            asked = spec.model_copy(update={"given": part, "settings": {"sampler.repeats": count}})
            model = open_model(asked, dataset, device)
            if reference is None or prompts is None or true is None:
                reference = Reference(dataset, dataset.splits[-1], spec.size or model.size or dataset.size)
                prompts = reference.prompts(n)
                true = replace(reference.samples(prompts.rows), groups=prompts.groups)
                with Bar("evaluating real images", len(reference)) as bar:
                    ceiling = measure_real(scoring, reference, prompts.rows, bar.advance).ceiling
                shown.append(SheetRow("real", true.take(range(SHOWN))))
            given = given_pairs(part, reference, prompts.rows)
            label = f"{'image to layout' if part == 'images' else 'layout to image'}, {count} repeat{'s' * (count > 1)}"
            kept: list[Samples] = []
            with Bar(label, n) as bar:
                generator = Generator(spec.model, model, reference, prompts, spec.seed, 16, bar.advance, given)
                began = time.perf_counter()
                if part == "layouts":
                    rows[label] = dict(measure_point(generator, scoring, guidance, each=kept.append).point.scores)
                else:
                    kept += generator.batches(guidance, range(n))
                seconds[label] = (time.perf_counter() - began) / n
            drawn = joined(kept, spec.model)
            if part == "images" and drawn.layouts is not None:
                rows[label] = {"miou": agreement(dataset, true, drawn.layouts)}
            shown.append(SheetRow(label, drawn.take(range(SHOWN))))
            say(f"{label}: {', '.join(f'{name} {score.text(4)}' for name, score in rows[label].items())}")
    assert reference is not None
    assert true is not None
    assert true.layouts is not None
    segmenter = evaluators.by_role["segmenter"]
    seen = [segmenter(true.images[list(places)]).labels for places in batches(n)]
    prior = most_frequent(dataset, reference.size).expand(n, *reference.size)
    rows["segmenter on real images"] = {
        "miou": agreement(dataset, true, torch.cat([labels.cpu() for labels in seen if labels is not None]))
    }
    rows["most frequent class"] = {"miou": agreement(dataset, true, prior)}
    rows["another pair's layout"] = {"miou": agreement(dataset, true, true.layouts.roll(1, 0))}
    rows["real images"] = {name: ceiling[name] for name in MEASURED}
    heads = ("miou", *MEASURED)
    scale = {"miou": 100.0, "layout-faithfulness": 100.0, "fd": 1.0}
    texts = [
        (name, *(_text(one.get(head), scale[head]) for head in heads), _seconds(seconds.get(name)))
        for name, one in rows.items()
    ]
    steps = str(model.sampler().get("steps", "no")).removesuffix(".0")
    title = f"{spec.model} on {reference}, n = {n}, {steps} steps, guidance {guidance:g}, measured by {segmenter.id}"
    numbers = ("true mIoU", "faithfulness", "FD", "s/image")
    show_texts(("", *numbers), texts, numbers, title)
    if out is not None:
        facts = {
            name: {head: score.model_dump(mode="json") for head, score in one.items()} for name, one in rows.items()
        }
        write_text(out.with_suffix(".json"), json.dumps({"what": title, "seconds": seconds, "scores": facts}, indent=1))
        save_png(out.with_suffix(".png"), sheet(shown, dataset.palette))
    return rows


def _text(score: Score | None, scale: float) -> str:
    if score is None or score.value is None or score.interval is None:
        return "" if score is None else score.status
    return f"{scale * score.value:.1f} ± {scale * (score.interval[1] - score.interval[0]) / 2:.1f}"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gcdp")
    parser.add_argument("--dataset", default="streets")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("-n", type=int, default=48, help="Pairs.")
    parser.add_argument("--steps", type=int, default=20, help="Sampling steps.")
    parser.add_argument("--repeats", default="1,5", help="Of each step, with commas.")
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--evaluator", dest="evaluators", action="append", default=[], help="segmenter=@FILE")
    parser.add_argument("--out", type=Path, help="Write numbers and a sheet of samples here, as .json and .png.")
    options = vars(parser.parse_args())
    report(repeats=[int(count) for count in options.pop("repeats").split(",")], **options)
