"""Attribute classifiers that others trained: a file of ML-Decoder's authors, or a state dict of a timm network."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from timm.models.tresnet import checkpoint_filter_fn
from torch import Tensor

from gcbench.core.errors import UserError
from gcbench.core.files import file_hash, read_text
from gcbench.data.celeba_attributes import ATTRIBUTES
from gcbench.evaluators.classifier import ML_DECODER, ML_DECODER_BODY, ML_DECODER_FEATURES, Classifier
from gcbench.weights.official import load_official


class Found(NamedTuple):
    """labels: the attributes, in the order of the outputs. hash: of the file, and of the list that names its labels."""

    network: Classifier
    labels: tuple[str, ...]
    hash: str


def read_classifier(path: Path, arch: str | None, size: int | None) -> Found:
    """The classifier in the file at `path`.

    Weights stand at the top of the file or under `model` or `state_dict`. Attributes are those of the file's
    `idx_to_class`, else of the list `<path>.labels.txt`, one a line, else (ML-Decoder only) CelebA's 40.
    UserError: a file that cannot be read or is of another network, without labels, or with another number of them.
    """
    if arch is None:
        raise UserError(
            f"{path} has no card beside it, so its architecture must be named: --evaluator attributes=ARCH@{path} with"
            f" {ML_DECODER} or a timm network for ARCH"
        )
    content = load_official(path)
    state: dict[str, Any] = next(
        (content[key] for key in ("model", "state_dict") if isinstance(content.get(key), dict)), content
    )
    labels = _labels(content, path)
    if arch == ML_DECODER:
        state, labels = _ml_decoder(state, labels, path)
    elif any(key.startswith("head.decoder.") for key in state):
        raise UserError(
            f"{path} is an ML-Decoder file, and no {arch} of timm's; give attributes={ML_DECODER}@{path} (what its"
            f" authors call TResNet-L is timm's {ML_DECODER_BODY}, not its tresnet_l)"
        )
    elif labels is None:
        raise UserError(f"{path}.labels.txt is missing; list there the attributes of {path}, one a line, in its order")
    network = Classifier(arch, len(labels), size)
    try:
        network.network.load_state_dict(state)
    except RuntimeError as error:
        lines = str(error).strip().splitlines()
        fault = lines[min(1, len(lines) - 1)].strip()
        raise UserError(f"{path} is not of {arch} with {len(labels)} attributes: {fault}") from None
    if size is not None:
        _try(network)
    listed = _list_beside(path)
    return Found(network, labels, file_hash(path) + (f"+{file_hash(listed, 6)}" if listed.is_file() else ""))


def _list_beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.labels.txt")


def _labels(content: dict[str, Any], path: Path) -> tuple[str, ...] | None:
    named = content.get("idx_to_class")
    if isinstance(named, dict):
        try:
            return tuple(str(named[key]) for key in sorted(named, key=int))
        except (TypeError, ValueError):
            raise UserError(f"idx_to_class in {path} has keys that are no numbers; correct it or take it out") from None
    listed = _list_beside(path)
    if not listed.is_file():
        return None
    return tuple(line.strip() for line in read_text(listed).split("\n") if line.strip())


def _ml_decoder(
    state: dict[str, Tensor], labels: tuple[str, ...] | None, path: Path
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The authors' body keys as timm's, the head's as they are; checked against the labels."""
    features, outputs = (
        state.get(f"head.decoder.{name}") for name in ("embed_standart.weight", "duplicate_pooling_bias")
    )
    if features is None or outputs is None:
        raise UserError(
            f"{path} has no ML-Decoder head (head.decoder.embed_standart and others); give a file of {ML_DECODER}, or"
            " the name of the network that it is of"
        )
    if features.shape[1] != ML_DECODER_FEATURES:
        raise UserError(
            f"the ML-Decoder head in {path} reads {features.shape[1]} features, those of another body than the authors'"
            f" TResNet-L ({ML_DECODER_FEATURES}, timm's {ML_DECODER_BODY}); give a file of that network"
        )
    classes = len(outputs)
    if labels is None and classes == len(ATTRIBUTES):
        labels = ATTRIBUTES
    if labels is None or len(labels) != classes:
        have = "no list of them" if labels is None else f"a list of {len(labels)}"
        raise UserError(f"{path} gives {classes} attributes and {have}; name all in {path}.labels.txt, one a line")
    return checkpoint_filter_fn(state, None), labels


def _try(network: Classifier) -> None:
    """Some networks take one size only."""
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, 3, network.size, network.size))
    except (AssertionError, RuntimeError) as error:
        reason = f"{network.arch} does not take images of {network.size} px ({error})"
        raise UserError(f"{reason}; give another size") from error
