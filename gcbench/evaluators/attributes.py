"""The evaluator of attributes: a classifier that says of a whole image what it has and is (`Smiling`, `Eyeglasses`)."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import ValidationError
from torch import Tensor

from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, Evaluator
from gcbench.core.errors import UserError
from gcbench.core.samples import Features
from gcbench.evaluators.classifier import ML_DECODER, AttributesConfig, Classifier
from gcbench.evaluators.classifier_files import read_classifier
from gcbench.weights.find_weights import find_weights, is_path


class Attributes(Evaluator):
    """Says how likely an image has each of the dataset's attributes: glasses, a beard, a smile.

    `probabilities` [B,A], in the dataset's order; NaN where the classifier lacks one.

    `--evaluator attributes=ARCH[:SIZE]@WHERE`. WHERE is one of
    - a checkpoint of `gcbench train --evaluator attributes`, or a dataset whose classifier is bundled;
    - with ARCH `mldecoder_tresnet_l`: a file of ML-Decoder's authors (TResNet-L, any classes). Its attributes are those
      of its `idx_to_class`, else of `WHERE.labels.txt`, else CelebA's 40 in the order of `list_attr_celeba.txt`;
    - with another ARCH: a state dict of that timm network, beside `WHERE.labels.txt`, one attribute a line.
    Attributes are matched by name, case and punctuation ignored. How images are prepared: `Classifier`. SIZE belongs
    to files that are not checkpoints of ours (448 for ML-Decoder, else what timm states).
    """

    role: ClassVar[str] = "attributes"
    chunk: ClassVar[int] = 16

    def __init__(self, network: Classifier, labels: Sequence[str], dataset: Dataset, source: str, device: str):
        self.network = network.eval().to(device)
        self.device = device
        self.id = f"{network.arch}{source} {network.size} fp32"
        places = {_plain(label): place for place, label in enumerate(labels)}
        if len(places) < len(labels):
            raise UserError(f"the labels of the attribute classifier {self.id} name one twice; give each its own name")
        self.places = [places.get(_plain(name)) for name in dataset.attributes]
        if all(place is None for place in self.places):
            raise UserError(
                f"the attribute classifier {self.id} knows none of {dataset.name}'s attributes"
                f" ({', '.join(labels[:3])}, ... against {', '.join(dataset.attributes[:3])}, ...); give another one"
            )

    @classmethod
    def open(cls, dataset: Dataset, *, spec: str | None = None, device: str = "cpu") -> "Attributes":
        if not dataset.attributes:
            raise UserError(f"{dataset.name} has no attributes to measure; choose a dataset that has (faces, celeba)")
        arch, size, where = _parse(spec)
        path = find_weights("attributes", where or dataset.name)
        if path is None and where and (Path(where).is_file() or (is_path(where) and Path(where).is_dir())):
            path = Path(where)
        if path is None:
            raise UserError(
                f"no attribute classifier is trained for {where or dataset.name!r}; run `gcbench train --evaluator"
                f" attributes --dataset {dataset.argument}` and give its file as --evaluator attributes=@FILE, or an"
                f" ML-Decoder file as attributes={ML_DECODER}@FILE"
            )
        if path.is_dir() or checkpoint.has_card(path):
            return _trained(path, arch, size, dataset, device)
        classifier = read_classifier(path, arch, size)
        return cls(classifier.network, classifier.labels, dataset, f"#{classifier.hash}", device)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Features:
        parts = [self.network(part.to(self.device).float() / 255).float().cpu() for part in images.split(self.chunk)]
        logits = torch.cat(parts)  # [B,labels]
        if not logits.isfinite().all():
            raise UserError(f"the attribute classifier {self.id} gave numbers that are not finite; copy its file again")
        probabilities = torch.full((len(logits), len(self.places)), torch.nan)  # [B,A]
        for attribute, place in enumerate(self.places):
            if place is not None:
                probabilities[:, attribute] = logits[:, place].sigmoid()
        return Features(probabilities=probabilities)

    @classmethod
    def recipe(cls, dataset: Dataset, settings: Mapping[str, Any]) -> Any:
        from gcbench.evaluators.attributes_training import AttributesRecipe

        return AttributesRecipe.build(dataset, settings)


def _trained(path: Path, arch: str | None, size: int | None, dataset: Dataset, device: str) -> Attributes:
    """A checkpoint of ours: its card says the architecture, the size and the attributes."""
    loaded = checkpoint.load(path, kind="evaluator", name="attributes")
    try:
        cfg = AttributesConfig.model_validate(loaded.card.config)
    except ValidationError:
        raise UserError(
            f"the card of {path} describes no attribute classifier that this version knows; train it anew"
        ) from None
    if (arch or cfg.arch, size or cfg.size) != (cfg.arch, cfg.size):
        raise UserError(
            f"{path} holds {cfg.arch} for {cfg.size} px and nothing else; give --evaluator attributes=@{path}, or the"
            " file that you mean as attributes=ARCH[:SIZE]@FILE"
        )
    network = Classifier(cfg.arch, len(loaded.card.classes), cfg.size)
    checkpoint.fill(network.network, loaded)
    return Attributes(network, loaded.card.classes, dataset, f"@{loaded.card.dataset}#{loaded.card.sha256}", device)


def _parse(spec: str | None) -> tuple[str | None, int | None, str | None]:
    """`ARCH[:SIZE][@WHERE]`, `@WHERE` -> (arch, size, where)."""
    name, _, where = (spec or "").partition("@")
    arch, colon, size = name.partition(":")
    if colon and not (size.isdecimal() and int(size) > 0):
        raise UserError(f"--evaluator attributes={spec}: {size!r} is no size in pixels; write ARCH:SIZE@FILE")
    return arch or None, int(size) if colon else None, where or None


def _plain(label: str) -> str:
    """A label without case and punctuation: `5_o_Clock_Shadow` and "5 o'clock shadow" are one."""
    return re.sub(r"[\W_]+", "", label.lower())
