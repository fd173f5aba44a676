"""HRNet with the weights that its authors or mmsegmentation published for Cityscapes: the two formats of file.

    mmsegmentation   {"meta": …, "state_dict": backbone.*, decode_head.convs.0.{conv,bn}.*, decode_head.conv_seg.*}
    HRNet's authors  {"state_dict": …} or bare: model.*, the head as model.last_layer.{0,1,3}.*

Both take align_corners=False for these weights. Both normalise images alike but for rounding, mmsegmentation at 0 to
255, the authors at 0 to 1; each file gets what it was trained with.
"""

from collections.abc import Mapping
from pathlib import Path

import timm
from torch import Tensor

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.files import file_hash
from gcbench.data import cityscapes_classes
from gcbench.evaluators.hrnet import HRNet
from gcbench.evaluators.segmenter_interface import Loaded, class_names, outputs_of
from gcbench.evaluators.strict_loading import load_strictly
from gcbench.weights.official import load_official, locate

OFFICIAL = ("hrnet-w48-cityscapes", "hrnet-w48-cityscapes-hrnet")
"""Manifest names of such files; the first is the default."""

ARCH = "hrnet_w48"
CLASSES = tuple(name for k, name in enumerate(cityscapes_classes.CLASSES) if k != cityscapes_classes.VOID)

# a published name's beginning -> ours; the first that fits
MMSEG = {
    "backbone.": "backbone.",
    "decode_head.convs.0.conv.": "head.0.",
    "decode_head.convs.0.bn.": "head.1.",
    "decode_head.conv_seg.": "head.3.",
}
AUTHORS = {"model.last_layer.": "head.", "model.": "backbone."}


def open_published(name: str, arch: str, scale: float, dataset: Dataset) -> Loaded:
    """The network of the manifest entry `name`; a dataset of other classes is refused before any file is looked for."""
    outputs_of(CLASSES, dataset, f"{arch} (Cityscapes)")
    return open_official(locate(name), arch, scale, dataset)


def open_official(path: Path, arch: str, scale: float, dataset: Dataset) -> Loaded:
    """The network of a published file, its outputs mapped to the dataset's classes by name.
    UserError: a file of another format, architecture or set of classes; a dataset of other classes."""
    known = timm.list_models("hrnet_w*")
    if arch not in known:
        raise UserError(f"unknown segmenter {arch!r} for {path}; choose {', '.join(known)} or mmseg:CONFIG")
    content = load_official(path)
    names = class_names(content) or CLASSES
    if len(names) != len(CLASSES) or set(names) != set(CLASSES):
        raise UserError(
            f"{path} is trained for {len(names)} other classes than Cityscapes' {len(CLASSES)};"
            " give it as --evaluator segmenter=mmseg:CONFIG@FILE, with the config that it was trained by"
        )
    labels = outputs_of(names, dataset, f"{arch} (Cityscapes)")
    state = content.get("state_dict", content)
    state = {str(name): tensor for name, tensor in state.items()} if isinstance(state, Mapping) else {}
    network = HRNet(arch, len(names), scale, white=255.0 if is_mmseg(state) else 1.0)
    ours, own = translate(state, path), network.state_dict()
    outputs = ours.get("head.3.weight")
    if isinstance(outputs, Tensor) and outputs.ndim and len(outputs) != len(CLASSES):
        raise UserError(
            f"{path} answers {len(outputs)} classes where Cityscapes has {len(CLASSES)}; give a file trained on it"
        )
    counters = {name: tensor for name, tensor in own.items() if name.endswith("num_batches_tracked")}  # old files lack
    load_strictly(network, counters | ours, path, f"{arch} with a fully convolutional head")
    return Loaded(network, labels, scale, f"{arch}@cityscapes#{file_hash(path)} ×{scale:g}")


def is_mmseg(state: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("backbone.") for name in state)


def translate(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """A published state dict under our names. The authors' loss, saved beside their network, is left out.

    The authors' first convolution of the head has a bias b, ours has none: batch normalisation after it subtracts a
    running mean m, so (x + b) - m = x - (m - b).
    """
    if is_mmseg(state):
        return {_renamed(name, MMSEG): tensor for name, tensor in state.items()}
    if not any(name.startswith("model.") for name in state):
        raise UserError(
            f"{path} holds neither mmsegmentation's names (backbone.*, decode_head.*) nor those of HRNet's authors"
            " (model.*); give one of their files"
        )
    ours = {_renamed(name, AUTHORS): x for name, x in state.items() if not name.startswith("loss.")}
    bias, mean = ours.get("head.0.bias"), ours.get("head.1.running_mean")
    if isinstance(bias, Tensor) and isinstance(mean, Tensor) and bias.shape == mean.shape:
        ours["head.1.running_mean"] = mean - ours.pop("head.0.bias")
    return ours


def _renamed(name: str, beginnings: Mapping[str, str]) -> str:
    for theirs, ours in beginnings.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name
