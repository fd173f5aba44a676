"""Diversity against loops over pairs, and closed forms."""

import numpy as np
import pytest
import torch

from gcbench.core.contracts import Task
from gcbench.core.samples import Features, Samples
from gcbench.metrics.diversity import Diversity
from gcbench.statistics.intervals import cluster_bootstrap_mean


def metric(rows: np.ndarray, prompts: list[str], groups: list[str] | None = None) -> Diversity:
    new = Diversity(Task(("road",), None, {}))
    blank = torch.zeros(1, dtype=torch.uint8).expand(len(rows), 3, 1, 1)
    ids = tuple(f"{i:04}" for i in range(len(rows)))
    samples = Samples(blank, None, None, tuple(prompts), ids, None if groups is None else tuple(groups))
    new.update(samples, {"encoder": Features(vectors=torch.from_numpy(rows.astype(np.float32)))})
    return new


def test_it_is_the_mean_over_pairs_of_one_prompt() -> None:
    rng = np.random.default_rng(0)
    rows, prompts = rng.standard_normal((12, 6)), list("aabbbcccdefd")
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    values = {}
    for i, text in enumerate(prompts):
        pairs = [1 - units[i] @ units[j] for j, other in enumerate(prompts) if other == text and j != i]
        if pairs:
            values[i] = np.mean(pairs)
    found = metric(rows, prompts).compute()
    assert found.value == pytest.approx(np.mean(list(values.values())), rel=1e-6)
    assert (found.n, found.unscored) == (10, 2)
    assert found.detail == {"prompts": {"of_several": 4.0, "of_one": 2.0}}
    kept = metric(rows, prompts).per_sample()[""]
    assert kept["0000"] == pytest.approx(values[0], rel=1e-6)
    assert kept["0009"] is None


def test_of_equally_many_samples_it_is_the_mean_over_prompts() -> None:
    rng = np.random.default_rng(1)
    rows, prompts = rng.standard_normal((12, 4)), [f"p{i // 3}" for i in range(12)]
    units = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).reshape(4, 3, 4)
    each = [np.mean([1 - p[i] @ p[j] for i in range(3) for j in range(i)]) for p in units]
    assert metric(rows, prompts).compute().value == pytest.approx(np.mean(each), rel=1e-6)


def test_the_interval_draws_prompts_not_images() -> None:
    """As of one group a prompt, though each image is called its own group; images alone would be too narrow."""
    rng = np.random.default_rng(2)
    centres = rng.standard_normal((10, 5)).repeat(6, axis=0)
    spread = rng.uniform(0.05, 1.5, 10).repeat(6)[:, None]
    rows, prompts = centres + spread * rng.standard_normal((60, 5)), [f"p{i // 6}" for i in range(60)]
    found = metric(rows, prompts).compute()
    values = np.array(list(metric(rows, prompts).per_sample()[""].values()))
    assert found.groups == 10
    assert found.standard_error == pytest.approx(cluster_bootstrap_mean(values, prompts, seed=0).standard_error)
    assert found.standard_error > 1.5 * cluster_bootstrap_mean(values, [str(i) for i in range(60)], 0).standard_error


def test_what_shares_a_group_stays_together_too() -> None:
    rows = np.random.default_rng(3).standard_normal((8, 5))
    prompts, groups = list("aabbccdd"), ["x", "x", "x", "y", "z", "z", "z", "z"]
    assert metric(rows, prompts, groups).compute().groups == 2  # a-x-b-y, and c-z-d


def test_one_image_of_a_prompt_has_none_and_copies_are_at_0() -> None:
    rows = np.random.default_rng(4).standard_normal((4, 3))
    assert metric(rows, list("abcd")).compute().reason == "every prompt has one sample; draw several with --per-prompt"
    assert metric(rows[[0, 0, 1, 1]], list("aabb")).compute().value == pytest.approx(0, abs=1e-12)
    opposite = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -3]])
    assert metric(opposite, list("aabb")).compute().value == pytest.approx(2)
    zero = rows.copy()
    zero[1] = 0
    assert metric(zero, list("aabb")).compute().status == "failed"
