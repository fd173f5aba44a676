"""`gcbench data check` and `gcbench data split` as a person sees them."""

from pathlib import Path

from conftest import Cli

from gcbench.evaluation.setup import default_metrics


def test_check_says_what_the_bundled_dataset_is_good_for(cli: Cli) -> None:
    checked = cli("data", "check", "streets", "--sample", 4)
    assert checked.code == 0, checked.err
    text = " ".join(checked.out.split())
    assert "training yes on train, 2975 pairs" in text
    assert "evaluation on val yes against val, 500 pairs" in text
    assert f"default metrics yes {', '.join(default_metrics())}" in text


def test_check_names_the_evaluator_that_is_missing(toyland: Path, cli: Cli) -> None:
    text = " ".join(cli("data", "check", toyland).out.split())
    assert "default metrics some fsd; not" in text
    assert "gcbench train --evaluator segmenter --dataset" in text


def test_split_refuses_what_is_no_folder_of_one_split(toyland: Path, tmp_path: Path, cli: Cli) -> None:
    for dataset, remedy in ((toyland, "already"), ("streets", "gcbench data export streets --out DIR")):
        refused = cli("data", "split", dataset, "--out", tmp_path / "out")
        assert (refused.code, refused.out) == (2, "")
        assert remedy in refused.err
    assert not (tmp_path / "out").exists()
