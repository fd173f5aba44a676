"""What a second stage does to a small pair: does it keep to it, and what does it add to the nearest enlarging?

python -m studies.cascade --cascade BASE,SR [--dataset streets] [-n 64] [--guidance 2] [--steps 20] [--out FOLDER]

Small pairs are real ones brought down by the nearest pixel, whose large ones are known, and those of the base stage.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from gcbench.core.contracts import Given
from gcbench.core.errors import UserError
from gcbench.core.reference import Reference
from gcbench.core.run_spec import RunSpec
from gcbench.core.settings import read_settings
from gcbench.data.contact_sheet import grid, save_png
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.setup import choose_device, open_model
from gcbench.gcdp.cascade import Cascade
from gcbench.gcdp.super_resolution import resized
from gcbench.reports.table import show_texts

SHOWN = 8
"""Samples of each row of the sheets."""


class Pairs(NamedTuple):
    """images uint8 [N,3,H,W], layouts int64 [N,H,W]."""

    images: Tensor
    layouts: Tensor

    def at(self, size: tuple[int, int]) -> "Pairs":
        """By the nearest pixel."""
        images, layouts = resized(self.images.float(), self.layouts, size)
        assert layouts is not None
        return Pairs(images.byte(), layouts)


def grey(one: Tensor, other: Tensor) -> float:
    """Root of the mean squared difference, in grey levels."""
    return float((one.double() - other.double()).square().mean().sqrt())


def equal(one: Tensor, other: Tensor) -> float:
    """Share of equal pixels in %."""
    return float(100 * (one == other).double().mean())


def measured(large: Pairs, small: Pairs, real: Pairs | None) -> dict[str, float]:
    """Kept: the result brought down again, against what it was made from. Detail: the result against the nearest
    enlarging of itself brought down; 0 for an enlarging. Error and right: against the real large pair. Of images the
    root of the mean squared difference in grey levels, of layouts the share of pixels."""
    size, low = tuple(large.images.shape[-2:]), tuple(small.images.shape[-2:])
    down = large.at(low)  # type: ignore[arg-type]
    found = {
        "kept, grey": grey(down.images, small.images),
        "kept, ids %": equal(down.layouts, small.layouts),
        "detail, grey": grey(large.images, down.at(size).images),  # type: ignore[arg-type]
        "detail, ids %": 100 - equal(large.layouts, down.at(size).layouts),  # type: ignore[arg-type]
    }
    if real is not None:
        found["error, grey"] = grey(large.images, real.images)
        found["right, ids %"] = equal(large.layouts, real.layouts)
    return found


def report(
    cascade: str, dataset: str, n: int, steps: int | None, guidance: float, settings: Sequence[str], out: Path
) -> dict[str, dict[str, float]]:
    """Print the table and write two sheets, `real.png` and `drawn.png`: what is given, its nearest enlarging, the
    second stage's result, and, of real pairs, the real large one."""
    opened = open_dataset(dataset)
    spec = RunSpec.of(dataset=dataset, n=n, steps=steps, cascade=cascade, settings=read_settings(None, settings))
    model = open_model(spec, opened, choose_device(spec.device))
    if not isinstance(model, Cascade) or not model.layouts:
        raise UserError(f"--cascade {cascade}: give the stages of a model that draws layouts")
    reference = Reference(opened, opened.splits[-1], model.size)
    prompts, low = reference.prompts(n), model.base.size
    pairs = reference.samples(prompts.rows)
    assert pairs.layouts is not None
    real = Pairs(pairs.images, pairs.layouts)
    base = model.base.generate(prompts.texts, n=n, size=low, guidance=guidance, seeds=range(n))
    assert base.layouts is not None
    given = {"real": real.at(low), "drawn": Pairs(base.images, base.layouts)}
    rows: dict[str, dict[str, float]] = {"real large": measured(real, real.at(low), real)}
    for name, small in given.items():
        large = model.upper.generate(
            prompts.texts,
            n=n,
            size=model.size,
            guidance=model.upper.cfg.sr_guidance,
            seeds=range(n),
            given=Given(small.images, small.layouts),
        )
        assert large.layouts is not None
        truth = real if name == "real" else None
        nearest, result = small.at(model.size), Pairs(large.images, large.layouts)
        rows[f"{name}, nearest"] = measured(nearest, small, truth)
        rows[f"{name}, second stage"] = measured(result, small, truth)
        shown = [nearest, result, *([truth] if truth else [])]
        images = torch.cat([part.images[:SHOWN] for part in shown])
        layouts = torch.cat([part.layouts[:SHOWN] for part in shown])
        save_png(out / f"{name}.png", grid(images, layouts, opened.palette, columns=SHOWN))
    columns = tuple(rows["real large"])
    lines = [(name, *(f"{row[key]:.2f}" if key in row else "" for key in columns)) for name, row in rows.items()]
    show_texts(("pairs", *columns), lines, columns, f"{reference}, n = {n}, guidance {guidance:g}")
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cascade", required=True, help="BASE,SR: checkpoints of the two stages.")
    parser.add_argument("--dataset", default="streets")
    parser.add_argument("-n", type=int, default=64, help="Pairs.")
    parser.add_argument("--guidance", type=float, default=2.0, help="Of the first stage.")
    parser.add_argument("--steps", type=int, help="Of each stage; the models' own by default.")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="The sampler's, of either stage.")
    parser.add_argument("--out", type=Path, default=Path("runs/study-cascade"), help="Folder of the sheets.")
    report(**vars(parser.parse_args()))
