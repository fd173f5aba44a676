"""Images, coloured layouts and texts as panels of a figure."""

import textwrap
from collections.abc import Iterable

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch
from torch import Tensor

from gcbench.core.contracts import Dataset
from gcbench.data.contact_sheet import colour
from gcbench.reports import drawing


def image_tile(panel: Axes, image: Tensor) -> None:
    """An RGB image uint8 [3,H,W], pixel by pixel."""
    bare(panel).imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest")


def layout_tile(panel: Axes, layout: Tensor, dataset: Dataset) -> None:
    """Class ids [H,W] in the dataset's colours."""
    image_tile(panel, colour(layout[None].long(), dataset.palette)[0])


def text_tile(panel: Axes, text: str, width: int, size: float = 8) -> None:
    """A text in lines of `width` letters, in the middle of the panel."""
    bare(panel).text(
        0.5, 0.5, "\n".join(textwrap.wrap(drawing.shown(text), width)), ha="center", va="center", fontsize=size
    )


def bare(panel: Axes) -> Axes:
    panel.set_xticks([])
    panel.set_yticks([])
    for spine in panel.spines.values():
        spine.set_visible(False)
    return panel


def side_label(panel: Axes, text: str) -> None:
    """What a row is, beside its first panel."""
    panel.set_ylabel("\n".join(map(drawing.shown, text.split("\n"))), rotation=0, ha="right", va="center", labelpad=6)


def class_legend(figure: Figure | SubFigure, layouts: Iterable[Tensor], dataset: Dataset) -> None:
    """The colours of the classes that any of the layouts shows, below the figure."""
    present = np.unique(np.concatenate([torch.unique(layout).numpy() for layout in layouts]))
    entries = [Patch(facecolor=_rgb(dataset.palette[k]), edgecolor=drawing.GREY, lw=0.4) for k in present]
    names = [drawing.shown(dataset.classes[k]) for k in present]
    columns = max(1, int(figure.bbox.width / figure.dpi / 1.15))
    figure.legend(entries, names, loc="outside lower center", ncols=columns)


def _rgb(colours: tuple[int, int, int]) -> tuple[float, float, float]:
    red, green, blue = colours
    return red / 255, green / 255, blue / 255


def caption(figure: Figure, text: str) -> None:
    """The title, in lines that fit the width of the figure."""
    width = int(figure.get_figwidth() * 12)
    figure.suptitle(
        "\n".join(textwrap.fill(drawing.shown(line), width) for line in text.split("\n")), color=drawing.INK
    )
