"""Features that are no numbers, and references too small: one sentence, exit code 2; FID, KID and PRDC in a table."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from conftest import Cli, Oracle, Result, write_toyland

from gcbench.core.contracts import Dataset
from gcbench.core.samples import Features
from gcbench.evaluation.scoring import EvaluatorSet

Sight = Callable[[torch.Tensor], torch.Tensor]


class Eye(Oracle):
    """Three features an image: the mean of each colour, and what `spoil` makes of them."""

    def __init__(self, dataset: Dataset, role: str, spoil: Sight):
        super().__init__(dataset)
        self.id, self.spoil = f"{role}'s eye", spoil

    def __call__(self, images: torch.Tensor) -> Features:
        seen = images.float().mean(dim=(2, 3))  # [B,3]
        return Features(vectors=self.spoil(seen), labels=super().__call__(images).labels)


@pytest.fixture
def evaluate(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, toyland: Path, without_curve: None, images: Path
) -> Callable[[str, Sight], Result]:
    """Evaluator five finished images, with eyes that see what is given."""

    def run(metric: str, spoil: Sight, dataset: Path = toyland) -> Result:
        def open_evaluators(
            dataset: Dataset, metrics: Sequence[str], specs: Sequence[str], device: str
        ) -> EvaluatorSet:
            return EvaluatorSet({role: Eye(dataset, role, spoil) for role in ("segmenter", "inception")}, {})

        monkeypatch.setattr("gcbench.commands.evaluate.open_evaluators", open_evaluators)
        return cli("evaluate", "--images", images / "images", "--dataset", dataset, "--metrics", metric)

    return run


def nothing(seen: torch.Tensor) -> torch.Tensor:
    return seen


def third_is_nan(seen: torch.Tensor) -> torch.Tensor:
    seen = seen.clone()
    seen[2] = torch.nan
    return seen


@pytest.mark.parametrize("metric", ["fd", "fid", "kid", "prdc"])
def test_features_that_are_no_numbers(evaluate: Callable[..., Result], metric: str) -> None:
    result = evaluate(metric, third_is_nan)
    role = "segmenter" if metric == "fd" else "inception"
    assert result.code == 2
    assert result.out == ""
    assert "Traceback" not in result.err
    assert result.complaint.startswith(
        f"gcbench: the evaluator {role} gave features that are not finite for val02 of the samples"
    )
    assert f"--evaluator {role}=ID@FILE" in result.complaint


@pytest.mark.parametrize("metric", ["fid", "kid", "prdc"])
def test_a_reference_of_one(evaluate: Callable[..., Result], tmp_path: Path, metric: str) -> None:
    small = write_toyland(tmp_path / "small", {"train": 2, "val": 1})
    result = evaluate(metric, nothing, small)
    assert result.code == 2
    assert result.out == ""
    assert "Traceback" not in result.err
    assert "toyland/val has 1 images; at least 4 are needed" in result.complaint


def test_names_and_warnings_in_the_table(evaluate: Callable[..., Result]) -> None:
    """n stands in FID's name; the further columns of PRDC keep theirs; no warning at n above d."""
    result = evaluate("fid,kid,prdc", nothing)
    assert result.code == 0, result.err
    head = " ".join(result.out.split())
    for name in ("FID@5 ↓", "KID ↓", "PRDC:", "PRDC density", "PRDC coverage"):
        assert name in head
    assert "bias is strong" not in head


def test_n_not_above_d_is_said(evaluate: Callable[..., Result]) -> None:
    result = evaluate("fid", lambda seen: torch.cat([seen**power / 255**power for power in range(1, 6)], dim=1))
    assert result.code == 0, result.err
    assert "fid: n = 5 is not above d = 15, so its bias is strong." in result.out
