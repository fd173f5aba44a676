"""The study of the second stage: its numbers on random stages, where some are known beforehand."""

from pathlib import Path

import pytest
import torch
from conftest import SIZE, write_gcdp

from gcbench.data.open_dataset import open_dataset
from studies.cascade import Pairs, measured, report


def test_numbers_that_are_known_beforehand(toyland: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The nearest enlarging keeps to its pair and adds nothing; the real pair has no error; both sheets are there."""
    world, small = open_dataset(str(toyland)), (SIZE[0] // 2, SIZE[1] // 2)
    base = write_gcdp(tmp_path / "base.safetensors", world, size=small)
    upper = write_gcdp(tmp_path / "sr.safetensors", world, lowres=True)
    rows = report(f"{base},{upper}", str(toyland), 3, 1, 2.0, ["sampler.low_noise=0"], tmp_path / "out")
    for name in ("real, nearest", "drawn, nearest"):
        assert list(rows[name].values())[:4] == [0, 100, 0, 0]
    assert rows["real large"]["error, grey"] == 0
    assert rows["real large"]["right, ids %"] == 100
    assert rows["real, second stage"]["kept, grey"] > 0
    assert "error, grey" not in rows["drawn, second stage"]
    assert "toyland/val, n = 3, guidance 2" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"real.png", "drawn.png"}


def test_detail_by_hand() -> None:
    """One block of 2x2 whose first pixel is 10 and the others 14: detail is the root of 3/4 of 16."""
    image = torch.full((1, 3, 2, 2), 14, dtype=torch.uint8)
    image[..., 0, 0] = 10
    layout = torch.tensor([[[1, 1], [1, 2]]])
    found = measured(Pairs(image, layout), Pairs(image[..., :1, :1], layout[:, :1, :1]), None)
    assert found["kept, grey"] == 0
    assert found["detail, grey"] == pytest.approx(12**0.5)
    assert found["detail, ids %"] == 25
