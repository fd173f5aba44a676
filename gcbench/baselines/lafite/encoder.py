"""Encoders that place images and texts in one space: two halves that give unit vectors [B,D].

`dual`: a small convolutional network and a word table, trained with the model before its generator, then frozen. It is
part of the model and evaluates nothing. `open_clip`: a CLIP of open_clip's, frozen, its weights in a file; no part of
the checkpoint, which holds their hash.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcbench.baselines.lafite.config import EncoderConfig
from gcbench.core.contracts import Reading
from gcbench.core.draws import moved
from gcbench.core.errors import UserError
from gcbench.core.files import file_hash
from gcbench.core.samples import sample_ids
from gcbench.networks.text import Reader, TextConfig, WordEncoder
from gcbench.text.known_words import Aliases, KnownWords
from gcbench.weights.manifest import did_you_mean
from gcbench.weights.official import load_official


class Encoder(NamedTuple):
    """images: [B,3,H,W] in [-1,1] -> unit [B,D]. texts: B strings -> unit [B,D]."""

    images: nn.Module
    texts: nn.Module


class ImageEncoder(nn.Module):
    """Halves the image once a width; mean and maximum over what is left, since a small thing counts too."""

    def __init__(self, cfg: EncoderConfig):
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in zip((3, *cfg.widths), cfg.widths, strict=False):
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.GroupNorm(4, b), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers)
        self.out = nn.Linear(2 * cfg.widths[-1], cfg.dim)

    def forward(self, images: Tensor) -> Tensor:
        x = self.body(images)  # [B,C,h,w]
        return F.normalize(self.out(torch.cat((x.mean((2, 3)), x.amax((2, 3))), 1)))  # [B,D]


class BagOfWordsEncoder(nn.Module):
    """The mean of a text's word vectors, and two layers: the order of words does not count."""

    def __init__(self, cfg: EncoderConfig):
        super().__init__()
        self.words = WordEncoder(TextConfig(dim=cfg.dim, **cfg.model_dump(include=set(KnownWords.model_fields))))
        self.out = nn.Sequential(nn.Linear(cfg.dim, 2 * cfg.dim), nn.LeakyReLU(0.2), nn.Linear(2 * cfg.dim, cfg.dim))

    def forward(self, texts: Sequence[str]) -> Tensor:
        embeddings, mask = self.words(texts)  # [B,L,D], [B,L]
        mean = embeddings.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)  # [B,D]
        return F.normalize(self.out(mean))


class Frozen(nn.Module):
    """Never trained, always in evaluation mode, whatever the network around it does."""

    def train(self, mode: bool = True) -> "Frozen":
        return super().train(False)


class ClipImageEncoder(Frozen):
    """Differentiable in the images. They are resized whole to the network's square: bicubic, antialiased, squeezed.

    The released code takes random crops instead, which would hide half of a wide scene.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, visual: Any):
        super().__init__()
        import open_clip

        self.visual = visual
        size = visual.image_size
        self.size: tuple[int, int] = (size, size) if isinstance(size, int) else tuple(size)
        mean, std = (
            torch.tensor(values).view(1, 3, 1, 1)
            for values in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
        )
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        resized = F.interpolate(images.float() / 2 + 0.5, self.size, mode="bicubic", antialias=True)  # [B,3,S,S]
        return F.normalize(self.visual((resized - self.mean) / self.std).float())  # [B,D]


class ClipTextEncoder(Frozen, Reader):
    """A CLIP without its image half. Texts are cut at its context length, the end token kept."""

    def __init__(self, network: Any, tokenizer: Any):
        super().__init__()
        self.network, self.tokenizer = network, tokenizer

    @torch.no_grad()
    def forward(self, texts: Sequence[str]) -> Tensor:
        tokens = moved(self.tokenizer(list(texts)), next(self.network.parameters()).device)  # [B,77]
        return F.normalize(self.network.encode_text(tokens).float())  # [B,D]

    def reading(self, texts: Sequence[str], aliases: Aliases) -> Reading:
        length = self.network.context_length
        beyond = self.tokenizer(list(texts), context_length=length + 1)[:, length] != 0  # [B]
        names = zip(sample_ids(len(texts)), beyond.tolist(), strict=True)
        return Reading(n=len(texts), cut=[name for name, longer in names if longer])


def build_encoder(cfg: EncoderConfig) -> Encoder:
    """The encoder that the config names: a dual one untrained, a CLIP with the weights of its file.
    UserError: open_clip has no such model; the file is missing, another than in training, or of another network."""
    if cfg.kind == "dual":
        return Encoder(ImageEncoder(cfg), BagOfWordsEncoder(cfg))
    network, tokenizer, dim = _clip(cfg)
    if dim != cfg.dim:
        raise UserError(f"setting model.encoder.dim={cfg.dim}: a feature of {cfg.name} has {dim} numbers; give {dim}")
    visual, network.visual = network.visual, nn.Identity()
    return Encoder(ClipImageEncoder(visual), ClipTextEncoder(network, tokenizer))


def with_hash(cfg: EncoderConfig) -> EncoderConfig:
    """The config with the hash of its weights' file, when training begins."""
    return cfg if cfg.kind == "dual" else cfg.model_copy(update={"sha256": file_hash(_file(cfg))})


def _clip(cfg: EncoderConfig) -> tuple[Any, Any, int]:
    """The network, its tokenizer, and how many numbers its features have."""
    import open_clip

    if cfg.name not in open_clip.list_models():
        hint = did_you_mean(cfg.name, open_clip.list_models(), "choose one of open_clip.list_models()")
        raise UserError(f"setting model.encoder.name={cfg.name}: open_clip has no such model; {hint}")
    path = _file(cfg)
    if cfg.sha256 and file_hash(path) != cfg.sha256:
        raise UserError(
            f"{path} holds other weights than those that this lafite was trained with (SHA-256 {cfg.sha256}); name the"
            " file of those by --set sampler.encoder_path=FILE"
        )
    content = load_official(path)
    state = {key.removeprefix("module."): value for key, value in content.get("state_dict", content).items()}
    config = open_clip.get_model_config(cfg.name)
    custom = config.pop("custom_text", False)
    network = open_clip.CustomTextCLIP(**config) if custom else open_clip.CLIP(**config)
    try:
        network.load_state_dict(state)
    except RuntimeError:
        raise UserError(
            f"{path} does not hold the weights of open_clip's {cfg.name}; choose the name that fits it"
        ) from None
    return network.eval().requires_grad_(False), open_clip.get_tokenizer(cfg.name), config["embed_dim"]


def _file(cfg: EncoderConfig) -> Path:
    if not cfg.path:
        raise UserError(f"the encoder {cfg.name} needs its weights; give their file by --set model.encoder.path=FILE")
    if not Path(cfg.path).is_file():
        option = "sampler.encoder_path" if cfg.sha256 else "model.encoder.path"
        raise UserError(f"the encoder's weights {cfg.path} are not there; give their file by --set {option}=FILE")
    return Path(cfg.path)
