"""Does a model read a class by whatever word names it? The same scenes asked for in several wordings, seed for seed.

python -m studies.wordings [--model gcdp] [--dataset streets] [-n 48] [--steps 20] [--out wordings.json]
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from gcbench.core.contracts import Dataset
from gcbench.core.files import write_text
from gcbench.core.run_spec import RunSpec
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.scoring import open_evaluator
from gcbench.evaluation.setup import choose_device, open_model
from gcbench.reports.table import show_texts
from gcbench.runs.progress import Bar
from gcbench.text.captions import URBAN, plural


def listed(names: Sequence[str]) -> str:
    """`An image of an urban street view with cars, a bus and skies.`"""
    return f"{URBAN} with {', '.join(names[:-1])} and {names[-1]}." if names[1:] else f"{URBAN} with {names[0]}."


def with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def wordings(names: Sequence[str], aliases: Mapping[str, Sequence[str]], turn: int) -> dict[str, str]:
    """One scene's classes as captions name them (plural), in the singular, and by other words, in turn."""

    def other(name: str) -> str:
        words = [word for word in aliases[name] if word not in (name, plural(name))] or [plural(name)]
        return words[turn % len(words)]

    return {
        "plural, as captions": listed([plural(name) for name in names]),
        "singular": listed([with_article(name) for name in names]),
        "other words": listed([other(name) for name in names]),
    }


def denials(names: Sequence[str], denied: str) -> dict[str, str]:
    """A scene without `denied`: not named, and named in a negation."""
    rest = listed([plural(name) for name in names if name != denied])
    return {f"{plural(denied)} not named": rest, f"no {plural(denied)}": f"{rest[:-1]}, no {plural(denied)}."}


def scenes(dataset: Dataset, n: int) -> list[list[str]]:
    """The classes of the first n held-out captions, in the captions' order."""
    split = dataset.splits[-1]
    captions = [dataset.captions(split, i)[0].lower() for i in range(n)]
    orders = [{name: text.find(plural(name)) for name in dataset.aliases} for text in captions]
    return [sorted((name for name in order if order[name] >= 0), key=order.__getitem__) for order in orders]


def report(
    model: str, dataset: str, n: int, steps: int | None, guidance: float, denied: str, out: Path | None
) -> dict[str, dict[str, float]]:
    """Print, and write to `out`, Semantic Recall in each wording, and how often `denied` is found."""
    opened = open_dataset(dataset)
    spec = RunSpec.of(model=model, dataset=dataset, n=n, steps=steps)
    drawing = open_model(spec, opened, choose_device(spec.device))
    segmenter = open_evaluator("segmenter", None, opened, choose_device(spec.device))
    asked = scenes(opened, n)
    columns: dict[str, list[str]] = {}
    for turn, names in enumerate(asked):
        for key, text in {**wordings(names, opened.aliases, turn), **denials(names, denied)}.items():
            columns.setdefault(key, []).append(text)
    drawn: dict[str, torch.Tensor] = {}
    result: dict[str, dict[str, float]] = {}
    with Bar("drawing", n * len(columns)) as bar:
        for key, prompts in columns.items():
            images = drawn[key] = drawing.generate(
                prompts, n=n, size=opened.size, guidance=guidance, seeds=range(n)
            ).images
            labels = segmenter(images).labels
            found = [{opened.classes[k] for k in np.unique(one)} for one in labels.numpy(force=True)]
            wanted = [set(names) - ({denied} if denied in key or plural(denied) in key else set()) for names in asked]
            hits = [len(here & these) for here, these in zip(found, wanted, strict=True)]
            result[key] = {
                "recall": float(np.mean([hit / len(these) for hit, these in zip(hits, wanted, strict=True)])),
                "named": float(np.mean([len(these) for these in wanted])),
                "found": float(np.mean(hits)),
                f"{denied} found": float(np.mean([denied in here for here in found])),
            }
            bar.advance(n)
    first = drawn[next(iter(columns))]
    for key, images in drawn.items():
        result[key]["same image"] = float((images == first).flatten(1).all(1).float().mean())
    heads = tuple(result[next(iter(columns))])
    lines = [(key, *(f"{row[head]:.3f}" for head in heads)) for key, row in result.items()]
    show_texts(("wording", *heads), lines, heads, f"{model} on {dataset}, n = {n}, guidance {guidance:g}")
    if out is not None:
        write_text(out, json.dumps({"model": model, "dataset": opened.version, "n": n, "wordings": result}, indent=1))
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="gcdp")
    parser.add_argument("--dataset", default="streets")
    parser.add_argument("-n", type=int, default=48, help="Scenes.")
    parser.add_argument("--steps", type=int, help="Sampling steps; the model's own by default.")
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--denied", default="car", help="The class to leave out, and to deny.")
    parser.add_argument("--out", type=Path, help="Write the numbers here, as JSON.")
    options = parser.parse_args()
    report(**vars(options))
