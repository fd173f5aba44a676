"""Segmenters that gcbench trained: checkpoints with a card, given by path or found by the name of a dataset."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.run_spec import ImageSize
from gcbench.evaluators.hrnet import HRNet
from gcbench.evaluators.segmenter_interface import Loaded
from gcbench.weights.find_weights import find_weights, is_path


class SegmenterConfig(BaseModel):
    """arch: a timm HRNet. scale: enlargement of images before the network. labels: class id of each output."""

    model_config = ConfigDict(extra="forbid")

    arch: str = "hrnet_w18_small"
    scale: float = 2.0
    size: ImageSize = (64, 128)
    labels: tuple[int, ...] = ()


def find_trained(where: str) -> Path | None:
    """The checkpoint at a path, or the one for a dataset in `$GCBENCH_WEIGHTS` or among the bundled."""
    checkpoint_path = find_weights("segmenter", where)
    if checkpoint_path is not None:
        return checkpoint_path
    path = Path(where).expanduser()
    folder = is_path(where) and path.is_dir()
    return path if folder or checkpoint.has_card(path) else None


def how_to_train(dataset: Dataset) -> str:
    return (
        f"run `gcbench train --evaluator segmenter --dataset {dataset.argument}` and give its file as"
        " --evaluator segmenter=hrnet_w18_small@FILE"
    )


def open_trained(path: Path, arch: str | None, dataset: Dataset) -> Loaded:
    """The segmenter of a checkpoint, which must be of `arch`, if given, and of the dataset's classes."""
    loaded = checkpoint.load(path, kind="evaluator", name="segmenter", classes=dataset.classes)
    try:
        cfg = SegmenterConfig.model_validate(loaded.card.config)
    except ValidationError:
        raise UserError(f"the card of {path} describes no segmenter that this version knows; train it anew") from None
    if arch and arch != cfg.arch:
        raise UserError(f"{path} holds {cfg.arch}, not {arch}; give --evaluator segmenter={cfg.arch}@{path}")
    network = HRNet(cfg.arch, len(cfg.labels), cfg.scale)
    checkpoint.fill(network, loaded)
    source = f"{loaded.card.dataset}#{loaded.card.sha256}"
    return Loaded(network, cfg.labels, cfg.scale, f"{cfg.arch}@{source} ×{cfg.scale:g}")
