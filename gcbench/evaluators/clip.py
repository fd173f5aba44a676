"""The evaluator of images against their texts: CLIP, by default ViT-L/14 at 336 pixels with OpenAI's weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import open_clip
import torch
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
from open_clip.transformer import QuickGELU
from torch import Tensor

from gcbench.core.contracts import Dataset, Evaluator
from gcbench.core.errors import UserError
from gcbench.core.files import file_hash
from gcbench.core.samples import Features, Texts
from gcbench.evaluators.resize_filters import central_square, pil_resize
from gcbench.evaluators.strict_loading import load_strictly
from gcbench.weights.manifest import did_you_mean
from gcbench.weights.official import load_official, locate

OPENAI_ENTRIES = ("input_resolution", "context_length", "vocab_size")
"""What a state dict of OpenAI's own files holds beside its weights."""


class CLIP(Evaluator):
    """Places images and texts in one space: OpenAI's CLIP, or another of open_clip's models.

    `vectors`: projected embeddings of images; `read(...).vectors`: of texts. float32 [B,d], not normalised.

    Images: PIL's bicubic resize of the shorter side to the network's size, the central square of it (the rest is not
    seen), OpenAI's mean and standard deviation. Texts: open_clip's tokenizer. A text longer than the network's 77
    tokens is cut before its end token, which stays last: the network reads its answer off there.

    `--evaluator clip=NAME@FILE`: NAME is an open_clip model whose tokenizer is CLIP's own, FILE its weights. The
    default is `ViT-L-14-336-quickgelu` with OpenAI's weights, as `gcbench weights fetch clip-vit-l-14-336` stores them.

    QuickGELU or GELU: a file does not say which its network was trained with, and the wrong one loads without a word
    and gives other embeddings. NAME decides, and the id says which. A NAME without `-quickgelu` is refused if the file
    is in OpenAI's own format, or if all weights that open_clip lists for it were trained with QuickGELU, as for
    ViT-L-14-336. So is a NAME all of whose weights want images prepared in another way. Where the weights of one
    NAME differ (ViT-B-32, ViT-L-14, ViT-H-14), the user chooses the name that goes with the file.

    Source: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision".
    """

    role: ClassVar[str] = "clip"
    weights: ClassVar[str] = "clip-vit-l-14-336"
    name: ClassVar[str] = "ViT-L-14-336-quickgelu"
    chunk: ClassVar[int] = 16

    def __init__(self, network: Any, tokenizer: Any, name: str, source: str, device: str):
        self.network = network.eval().requires_grad_(False).to(device)
        self.tokenizer = tokenizer
        self.device = device
        size = network.visual.image_size
        self.size: int = size if isinstance(size, int) else size[0]
        self.mean = torch.tensor(open_clip.OPENAI_DATASET_MEAN, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(open_clip.OPENAI_DATASET_STD, device=device).view(1, 3, 1, 1)
        gelu = "quickgelu" if any(isinstance(part, QuickGELU) for part in network.modules()) else "gelu"
        self.id = f"{name.removesuffix('-quickgelu')}#{source} {gelu} {self.size}px fp32"

    @classmethod
    def open(cls, dataset: Dataset, *, spec: str | None = None, device: str = "cpu") -> "CLIP":
        asked, _, file = (spec or "").partition("@")
        name = asked or cls.name
        config = _config(name)
        if not file and name != cls.name:
            raise UserError(f"--evaluator clip={name} needs the file of its weights; write clip={name}@FILE")
        path = Path(file) if file else locate(cls.weights)
        state = _state(load_official(path), name, config, path)
        custom = config.pop("custom_text", False)
        network = open_clip.CustomTextCLIP(**config) if custom else open_clip.CLIP(**config)
        load_strictly(network, state, path, f"open_clip's {name}")
        return cls(network, open_clip.get_tokenizer(name), name, file_hash(path), device)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Features:
        parts = images.split(self.chunk)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            vectors = [self.network.encode_image(self.prepare(part.to(self.device))).float().cpu() for part in parts]
        return Features(vectors=torch.cat(vectors))

    @torch.inference_mode()
    def read(self, prompts: Sequence[str]) -> Texts:
        length = self.network.context_length
        tokens = self.tokenizer(list(prompts))  # [B,77], padded with 0 after the end token
        truncated = self.tokenizer(list(prompts), context_length=length + 1)[:, length] != 0  # [B]
        vectors = [self.network.encode_text(part.to(self.device)).float().cpu() for part in tokens.split(self.chunk)]
        return Texts(torch.cat(vectors), truncated)

    def prepare(self, images: Tensor) -> Tensor:
        """uint8 [B,3,H,W] -> what the network takes, float32 [B,3,S,S]."""
        h, w = images.shape[-2:]
        size = (self.size * h // min(h, w), self.size * w // min(h, w))
        square = central_square(pil_resize(images, size), self.size)
        return (square / 255 - self.mean) / self.std


def _config(name: str) -> dict[str, Any]:
    """open_clip's configuration of `name`; UserError if there is none, or one that needs what a file cannot give."""
    if name not in open_clip.list_models():
        hint = did_you_mean(name, open_clip.list_models(), "choose one of open_clip.list_models()")
        raise UserError(f"--evaluator clip={name}: open_clip has no such model; {hint}")
    config: dict[str, Any] = open_clip.get_model_config(name)
    text = config["text_cfg"]
    if "multimodal_cfg" in config or "hf_tokenizer_name" in text or "hf_model_name" in text or "siglip" in name.lower():
        raise UserError(
            f"--evaluator clip={name}: only models with CLIP's own tokenizer and two towers can be used;"
            " choose another, such as ViT-B-32-quickgelu"
        )
    published = [get_pretrained_cfg(name, tag) for tag in list_pretrained_tags_by_model(name)]
    if published and not any(_prepared_as_openai(weights) for weights in published):
        raise UserError(
            f"--evaluator clip={name}: all weights of this model want images prepared in another way than CLIP's own;"
            " choose another, such as ViT-B-32-quickgelu"
        )
    if published and all(weights.get("quick_gelu") for weights in published) and not config.get("quick_gelu"):
        raise UserError(_plain(name, f"all weights of {name}"))
    if "timm_model_name" in config["vision_cfg"]:
        config["vision_cfg"]["timm_model_pretrained"] = False
    return config


def _prepared_as_openai(weights: Mapping[str, Any]) -> bool:
    return (
        tuple(weights.get("mean", open_clip.OPENAI_DATASET_MEAN)) == tuple(open_clip.OPENAI_DATASET_MEAN)
        and tuple(weights.get("std", open_clip.OPENAI_DATASET_STD)) == tuple(open_clip.OPENAI_DATASET_STD)
        and weights.get("interpolation", "bicubic") == "bicubic"
        and weights.get("resize_mode", "shortest") == "shortest"
    )


def _state(content: Mapping[str, Any], name: str, config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The state dict in a file: bare, or under `state_dict` with `module.` before each name, as training leaves it."""
    state = content.get("state_dict", content)
    if any(entry in state for entry in OPENAI_ENTRIES) and not config.get("quick_gelu"):
        raise UserError(_plain(name, f"the weights in {path}"))
    return {key.removeprefix("module."): value for key, value in state.items() if key not in OPENAI_ENTRIES}


def _plain(name: str, what: str) -> str:
    return (
        f"--evaluator clip={name}: {what} were trained with QuickGELU, and the plain name means GELU;"
        f" write clip={name}-quickgelu@FILE"
    )
