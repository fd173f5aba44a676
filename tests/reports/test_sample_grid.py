"""The sheet of samples: its size, that texts are wrapped and drawn, and that no text breaks it."""

from itertools import pairwise

import pytest
import torch
from PIL import ImageFont

from gcbench.core.errors import UserError
from gcbench.core.samples import Samples
from gcbench.reports.sample_grid import GAP, LINES, WIDTH, SheetRow, sheet, wrap

PALETTE = ((255, 0, 0), (0, 255, 0))
FONT = ImageFont.load_default(14)
LONG = "An image of an urban street view with Traffic lights, Skies, Poles, Sidewalks, Buses, Roads, Cars and Terrains."


def row(label: str, n: int = 4, size: tuple[int, int] = (64, 128), text: str | None = "a cat") -> SheetRow:
    images = torch.full((n, 3, *size), 7, dtype=torch.uint8)
    layouts = torch.zeros((n, *size), dtype=torch.long)
    layouts[:, size[0] // 2 :] = 1
    ids = tuple(map(str, range(n)))
    return SheetRow(label, Samples(images, layouts, "generated", None if text is None else (text,) * n, ids))


def test_small_images_are_enlarged_by_a_whole_factor() -> None:
    for size, factor in (((64, 128), 2), ((64, 64), 4), ((100, 100), 3), ((256, 256), 1), ((128, 512), 1)):
        out = sheet([row("", 3, size, None)], PALETTE)
        assert out.dtype == torch.uint8
        assert out.shape == (3, 2 * size[0] * factor + 3 * GAP, 3 * size[1] * factor + 4 * GAP)
        assert size[1] * factor >= WIDTH
        tile = out[:, GAP : GAP + 2 * size[0] * factor, GAP : GAP + size[1] * factor]
        image, layout = tile.chunk(2, dim=1)
        assert (image == 7).all()
        top, bottom = layout.chunk(2, dim=1)
        assert all((top[c] == value).all() and (bottom[c] == PALETTE[1][c]).all() for c, value in enumerate(PALETTE[0]))


def test_large_images_are_reduced() -> None:
    assert sheet([row("", 1, (1024, 1024), None)], PALETTE).shape == (3, 2 * 512 + 3 * GAP, 512 + 2 * GAP)


def test_a_block_a_row_with_its_label_and_its_texts() -> None:
    bare, labelled = sheet([row("", text=None)], PALETTE), sheet([row("guidance 1.5", text=None)], PALETTE)
    texts = sheet([row("guidance 1.5")], PALETTE)
    assert bare.shape[2] == labelled.shape[2] == texts.shape[2]
    assert bare.shape[1] < labelled.shape[1] < texts.shape[1]
    assert (labelled[:, GAP : GAP + 22] < 128).any()  # letters above the tiles
    assert (texts[:, labelled.shape[1] - GAP :] < 128).any()  # and below them
    both = sheet([row("guidance 1"), row("guidance 2")], PALETTE)
    assert both.shape[1] == 2 * texts.shape[1]
    batches = sheet([row("guidance 1"), row("guidance 1")], PALETTE)  # one heading for both
    assert texts.shape[1] < batches.shape[1] < both.shape[1]
    below = sheet([row("", 5, text=None)], PALETTE)  # the fifth goes into a second line of tiles
    assert below.shape == (3, 2 * (256 + 2 * GAP) + GAP, bare.shape[2])


def test_long_texts_wrap_to_the_tile() -> None:
    lines = wrap(LONG, FONT, 256)
    assert len(lines) > 2
    assert " ".join(lines) == LONG
    assert all(FONT.getlength(line) <= 256 for line in lines)
    for line, following in pairwise(lines):  # no line ends before it must
        assert FONT.getlength(f"{line} {following.split()[0]}") > 256
    short, tall = sheet([row("")], PALETTE), sheet([row("", text=LONG)], PALETTE)
    assert tall.shape[1] > short.shape[1]
    assert tall.shape[2] == short.shape[2]


def test_endless_texts_end_in_an_ellipsis() -> None:
    for text in (LONG * 50, "x" * 5000):
        lines = wrap(text, FONT, 256)
        assert len(lines) == LINES
        assert lines[-1].endswith(" …")
        assert all(FONT.getlength(line) <= 256 for line in lines)
    assert wrap("", FONT, 256) == wrap(" \n\t", FONT, 256) == []
    assert wrap("W", FONT, 1) == ["W"]


@pytest.mark.parametrize(
    "text",
    [
        "一只猫坐在街上，旁边有一辆车" * 9,
        "Кот на улице",
        "قطة في الشارع",
        "🚗🚌 " * 30,
        "a\x1b[31mred\x00\n\tb",
        "\ud800",
        "e\u0301" * 99,
    ],
)
def test_any_text_and_label_is_drawn(text: str) -> None:
    assert sheet([row(text, 2, text=text)], PALETTE).shape[2] == 2 * 256 + 3 * GAP


def test_a_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="at least one image"):
        sheet([], PALETTE)
    with pytest.raises(UserError, match="at least one image"):
        sheet([row("", 0)], PALETTE)
