"""How often the 95 % intervals hold what they promise: the expectation of the metric at this n, the reference fixed.

    python -m studies.interval_coverage [--draws 300] [--n 500] [--metrics fid,miou]

From a population that is known whole, n samples are drawn again and again; each draw is scored by the metric itself, as
in a run. The mean of the values over all draws is the expectation at n; the share of intervals that hold it should be
95 %. Beside it, the naive bootstrap: the n samples drawn again with replacement, percentiles 2.5 and 97.5.

Populations: for FSD, mIoU and Semantic Recall the training scenes of `streets` as the bundled segmenter labels them;
for FID, features of 2048 numbers made by a random network of rectifiers (non-negative, of decaying spectrum); for CLIP
score, vectors at random angles, four images a prompt, prompts of different difficulty.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from gcbench.core.contracts import Metric, Task
from gcbench.core.registry import registry
from gcbench.core.samples import Features, Samples, Texts
from gcbench.core.score import Score
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.scoring import open_evaluators
from gcbench.runs.progress import Bar

SCENES = 1500
DIM = 2048
REFERENCE = 5000
IMAGES_A_PROMPT = 4


class Drawn(NamedTuple):
    """Samples of a draw and what the evaluators say of them."""

    samples: Samples
    features: Mapping[str, Features]


Population = Callable[[np.random.Generator, int], Drawn]
"""(generator, n) -> n fresh samples."""


class Coverage(NamedTuple):
    """interval, naive: shares of intervals that hold the expectation; None where there is no such interval.

    expectation, spread: mean and standard deviation of the values over the draws; error: mean standard error claimed.
    """

    metric: str
    draws: int
    expectation: float
    spread: float
    error: float
    interval: float
    naive_draws: int
    naive: float


@cache
def scenes() -> tuple[torch.Tensor, torch.Tensor, tuple[str, ...]]:
    """(layouts, the segmenter's labels) uint8 [SCENES,H,W] and a caption each."""
    dataset = open_dataset("streets")
    evaluator = open_evaluators(dataset, ["miou"], (), "cpu").evaluators["segmenter"]
    layouts, labels = [], []
    with Bar("evaluating scenes", SCENES) as bar:
        for i in range(SCENES):
            image, layout = dataset.pair("train", i, dataset.size)
            labels.append(evaluator(torch.from_numpy(image).permute(2, 0, 1)[None]).labels)
            layouts.append(torch.from_numpy(layout))
            bar.advance()
    captions = tuple(dataset.captions("train", i)[0] for i in range(SCENES))
    return torch.stack(layouts), torch.cat([one.to(torch.uint8) for one in labels if one is not None]), captions


def street_scenes(rng: np.random.Generator, n: int) -> Drawn:
    layouts, labels, captions = scenes()
    rows = rng.integers(SCENES, size=n)
    samples = Samples(
        torch.zeros(n, 3, *layouts.shape[1:], dtype=torch.uint8),
        layouts[rows].long(),
        "generated",
        tuple(captions[row] for row in rows),
        names(n),
    )
    return Drawn(samples, {"segmenter": Features(labels=labels[rows].long())})


@cache
def rectifiers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    scale = np.arange(1, 257) ** -0.5
    return scale[:, None] * rng.standard_normal((256, DIM)), 0.3 * rng.standard_normal(DIM)


def network_features(rng: np.random.Generator, n: int, shift: float = 0.1) -> Drawn:
    weight, bias = rectifiers()
    hidden = rng.standard_normal((n, 256)) + shift
    vectors = np.maximum(hidden @ weight + bias + 0.1 * rng.standard_normal((n, DIM)), 0)
    return Drawn(blank(n), {"inception": Features(vectors=torch.from_numpy(vectors).float())})


def prompted_vectors(rng: np.random.Generator, n: int) -> Drawn:
    """Images whose cosine with their prompt is about 0.25, by prompt and by image, with a tail of failures."""
    prompts = np.arange(n) // IMAGES_A_PROMPT
    hard = rng.normal(0, 0.04, prompts[-1] + 1)[prompts]
    cosine = np.clip(0.25 + hard + rng.normal(0, 0.03, n) - 0.15 * (rng.random(n) < 0.05), -1, 1)
    images = torch.from_numpy(np.stack([cosine, np.sqrt(1 - cosine**2)], axis=1)).float()
    texts = Texts(torch.tensor([1.0, 0.0]).expand(n, 2), torch.zeros(n, dtype=torch.bool))
    groups = tuple(f"prompt {i}" for i in prompts)
    samples = Samples(torch.zeros(n, 3, 1, 1, dtype=torch.uint8), None, None, groups, names(n), groups)
    return Drawn(samples, {"clip": Features(vectors=images, texts=texts)})


def names(n: int) -> tuple[str, ...]:
    return tuple(f"{i:06d}" for i in range(n))


def blank(n: int) -> Samples:
    return Samples(torch.zeros(n, 3, 1, 1, dtype=torch.uint8), None, None, None, names(n))


POPULATIONS: dict[str, Population] = {
    "fid": network_features,
    "fsd": street_scenes,
    "miou": street_scenes,
    "semantic-recall": street_scenes,
    "clip-score": prompted_vectors,
}
BOOTSTRAP = {
    "fid": (20, 40),
    "fsd": (40, 60),
    "miou": (20, 40),
    "semantic-recall": (30, 40),
    "clip-score": (60, 60),
}
"""Of the naive bootstrap: draws, and resamples of each (a Fréchet distance of 2048 numbers takes its time)."""


def opened(name: str) -> Metric:
    """The metric with its reference: real scenes' layouts, or features of an unshifted network."""
    dataset = open_dataset("streets")
    metric = registry("metrics")[name](Task(dataset.classes, dataset.void, dataset.aliases))
    if "reference" in metric.needs:
        rng = np.random.default_rng(2)
        drawn = network_features(rng, REFERENCE, 0.0) if name == "fid" else street_scenes(rng, 500)
        metric.update_reference(drawn.samples, drawn.features)
    return metric


def scored(metric: Metric, drawn: Drawn) -> Score:
    new = metric.fresh()
    new.update(drawn.samples, drawn.features)
    score = new.compute()
    assert score.value is not None
    assert score.interval is not None, score.reason
    return score


def again(drawn: Drawn, rng: np.random.Generator) -> Drawn:
    """The naive resample: n of the n samples with replacement, each as if it were new and independent."""
    n = len(drawn.samples)
    rows = rng.integers(n, size=n).tolist()
    taken = drawn.samples.take(rows)
    fresh = Samples(taken.images, taken.layouts, taken.layout_source, taken.prompts, names(n))
    return Drawn(fresh, {role: one.take(rows) for role, one in drawn.features.items()})


def coverage(name: str, n: int, draws: int, bootstrap: tuple[int, int], seed: int = 0) -> Coverage:
    metric, population = opened(name), POPULATIONS[name]
    naive_draws, resamples = min(bootstrap[0], draws), bootstrap[1]

    def fresh() -> Iterator[tuple[int, Drawn]]:
        for i in range(draws):
            yield i, population(np.random.default_rng([seed, i]), n)

    scores, naive = [], []
    with Bar(name, draws) as bar:
        for i, drawn in fresh():
            scores.append(scored(metric, drawn))
            if i < naive_draws:
                rng = np.random.default_rng([seed, i, 1])
                resampled = [scored(metric, again(drawn, rng)).value for _ in range(resamples)]
                naive.append(np.quantile(np.array(resampled, float), (0.025, 0.975)))
            bar.advance()
    values = np.array([score.value for score in scores], float)
    intervals = np.array([score.interval for score in scores])
    expectation = float(values.mean())
    return Coverage(
        name,
        draws,
        expectation,
        float(values.std(ddof=1)),
        float(np.mean([score.standard_error for score in scores])),
        held(intervals, expectation),
        naive_draws,
        held(np.array(naive), expectation),
    )


def held(intervals: np.ndarray, expectation: float) -> float:
    """The share of intervals [R,2] that hold the expectation."""
    return float(((intervals[:, 0] <= expectation) & (expectation <= intervals[:, 1])).mean())


def main(arguments: list[str] | None = None) -> list[Coverage]:
    parser = argparse.ArgumentParser(prog="python -m studies.interval_coverage", description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--metrics", default=",".join(POPULATIONS))
    given = parser.parse_args(arguments)
    rows = [coverage(name, given.n, given.draws, BOOTSTRAP[name]) for name in given.metrics.split(",")]
    heads = ["metric", "draws", "expectation", "sd over draws", "standard error claimed"]
    print(f"n = {given.n}\n")
    print("| " + " | ".join([*heads, "95 % interval holds it", "naive bootstrap holds it"]) + " |")
    print("|" + " --- |" * (len(heads) + 2))
    for row in rows:
        print(
            f"| `{row.metric}` | {row.draws} | {row.expectation:.4g} | {row.spread:.3g} | {row.error:.3g} |"
            f" {row.interval:.1%} | {row.naive:.1%} of {row.naive_draws} |"
        )
    return rows


if __name__ == "__main__":
    main()
