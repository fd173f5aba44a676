"""real: held-out pairs through the same engine as any model's."""

from pathlib import Path

import numpy as np
import torch
from conftest import Cli

from gcbench.baselines.real import Real
from gcbench.core.contracts import ModelOptions
from gcbench.core.record import Record
from gcbench.data.open_dataset import open_dataset


def test_its_samples_are_the_split_s_pairs(toyland: Path) -> None:
    dataset = open_dataset(str(toyland))
    made = Real.open(dataset, ModelOptions()).generate(None, n=3, size=(32, 64), guidance=1, seeds=[13, 14, 2])
    assert made.layouts is not None
    for row, place in enumerate((13, 0, 2)):  # the split has 14 pairs
        image, layout = dataset.pair("val", place, (32, 64))
        assert np.array_equal(made.images[row].permute(1, 2, 0).numpy(), image)
        assert torch.equal(made.layouts[row], torch.from_numpy(layout).long())
        assert made.prompts is not None
        assert made.prompts[row] == dataset.captions("val", place)[0]
    assert made.layout_source == "real"


def test_it_is_the_ceiling(toyland: Path, tmp_path: Path, cli: Cli, oracle: None, without_curve: None) -> None:
    done = cli("sweep", "--model", "real", "--dataset", toyland, "-n", 7, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    record = Record.read(tmp_path / "run" / "record.json")
    (point,) = record.points
    assert point.guidance is None
    for name in ("semantic-recall", "miou"):
        assert point.scores[name].value == record.ceiling[name].value == 1
