"""What a training tells a tracker (TensorBoard, trackio, Weights & Biases): losses, rates and previews.

A copy of what the log and the previews hold. A tracker that fails is left alone with a line, and the training
continues.
"""

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from accelerate.tracking import LOGGER_TYPE_TO_CLASS
from PIL import Image

from gcbench.core.errors import UserError

PROJECT = "gcbench"
FOLDER = "track"
"""In the training's directory: what TensorBoard and Weights & Biases write."""

INSTALL = {"tensorboard": "tensorboard", "trackio": "'gcbench[track]'", "wandb": "wandb"}


def check_tracker(name: str) -> None:
    """UserError: the tracker's package is not here."""
    if name and find_spec(name) is None:
        raise UserError(f"setting train.track={name!r}: it needs {name}; run pip install {INSTALL[name]}")


class Tracked:
    """A context in which a training's rows and previews are told to the tracker `name`; to none if it is empty.

    out: the training's directory, whose name is the run's. step: the last one that is done already.
    """

    def __init__(self, name: str, out: Path, config: Mapping[str, Any], step: int):
        self.name, self.out, self.config, self.step = name, out, dict(config), step
        self._tracker: Any = None

    def row(self, row: Mapping[str, Any]) -> None:
        """A row of the log."""
        values = {key: float(value) for key, value in row.items() if key != "step" and value != ""}
        self._try(lambda: self._tracker.log(values, step=int(row["step"])))

    def preview(self, path: Path, step: int) -> None:
        """The image that was drawn at a step."""

        def tell() -> None:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))  # uint8 [H,W,3]
            if self.name == "tensorboard":
                self._tracker.log_images({"preview": pixels[None]}, step=step, dataformats="NHWC")
            elif self.name == "trackio":  # it takes no arrays, only its own Image
                self._tracker.log({"preview": import_module("trackio").Image(pixels)}, step=step)
            else:
                self._tracker.log_images({"preview": [pixels]}, step=step)

        self._try(tell)

    def __enter__(self) -> "Tracked":
        if self.name:
            self._tracker = LOGGER_TYPE_TO_CLASS[self.name](PROJECT, **self._options())
            self._try(self._tracker.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._try(lambda: self._tracker.finish())

    def _options(self) -> dict[str, Any]:
        folder = self.out / FOLDER
        if self.name == "tensorboard":  # steps that are trained again replace their old rows
            return {"logging_dir": folder, "purge_step": self.step + 1}
        if self.name == "trackio":
            return {"name": self.out.name, "config": self.config, "resume": "allow"}
        os.environ.setdefault("WANDB_MODE", "offline")
        folder.mkdir(parents=True, exist_ok=True)
        return {"name": self.out.name, "config": self.config, "dir": str(folder)}

    def _try(self, act: Any) -> None:
        if self._tracker is None:
            return
        try:
            act()
        except Exception as error:
            self._tracker = None
            why = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"Tracking by {self.name} failed ({why[:300]}); the training continues without it.", file=sys.stderr)
