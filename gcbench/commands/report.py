"""`gcbench report`: runs as one HTML file. Opens the record's segmenter only where samples are kept."""

from pathlib import Path
from typing import Any

import numpy as np

from gcbench.core.errors import UserError
from gcbench.core.run_spec import check_evaluators
from gcbench.data.open_dataset import open_dataset
from gcbench.reports.html_report import write_report, write_site
from gcbench.reports.run_pair import Run
from gcbench.runs.progress import say


def report(
    *runs: str | Path,
    out: str | Path | None = None,
    bundled: bool = False,
    segmenter: bool = True,
    device: str = "auto",
) -> Path:
    """Write the report of `runs` as the one HTML file `out` (./report.html); returns it.

    bundled: instead, a page for each folder of the bundled records, into the folder `out` (./site); returns the index.
    segmenter: let the segmenter that measured a run, known by its id, label the images that the run keeps.
    UserError: a run that cannot be read, or an `out` that cannot be written.
    """
    if bundled:
        if runs:
            raise UserError("--bundled takes no runs; leave them or --bundled out")
        index = write_site(Path(out or "site"))
        say(f"Wrote {index}")
        return index
    out = Path(out or "report.html")
    if out.is_dir():
        raise UserError(f"--out {out} is a directory; name a file, such as {out / 'report.html'}")
    written = write_report([Path(run) for run in runs], out, Segmenters(device) if segmenter else None)
    say(f"Wrote {written} ({written.stat().st_size / 1e6:.1f} MB)")
    return written


class Segmenters:
    """What the segmenter of a run's record sees in its images; each is opened once, when first asked."""

    def __init__(self, device: str):
        self.device = device
        self._opened: dict[str, Any] = {}

    def __call__(self, run: Run, images: np.ndarray) -> np.ndarray:
        import torch

        from gcbench.evaluation.scoring import SEGMENTER, open_evaluator
        from gcbench.evaluation.setup import choose_device

        record = run.record
        segmenter = record.protocol.evaluators.get(SEGMENTER)
        if segmenter is None:
            raise UserError("its record names no segmenter")
        if segmenter not in self._opened:
            asked = check_evaluators(record.spec.get("evaluators", ())).get(SEGMENTER)
            opened = open_evaluator(SEGMENTER, asked, open_dataset(record.protocol.dataset), choose_device(self.device))
            if opened.id != segmenter:
                raise UserError(f"the segmenter here is {opened.id}, and the record's is {segmenter}")
            self._opened[segmenter] = opened
        tensor = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()  # [B,3,H,W]
        parts = [self._opened[segmenter](part).labels for part in tensor.split(16)]
        return torch.cat(parts).numpy().astype(np.uint8)  # [B,H,W]
