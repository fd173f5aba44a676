"""Image networks of DINOv2, timm and open_clip filled from a file, and how each of them wants its images."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import open_clip
import timm
import torch
import torch.nn.functional as F
from open_clip.model import _build_vision_tower
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
from timm.data import resolve_data_config
from torch import Tensor, nn

from gcbench.core.errors import UserError
from gcbench.evaluators.strict_loading import load_strictly
from gcbench.weights.manifest import did_you_mean

DINOV2 = {
    "dinov2-vits14": ("DINOv2-S", "vit_small_patch14_dinov2"),
    "dinov2-vitb14": ("DINOv2-B", "vit_base_patch14_dinov2"),
    "dinov2-vitl14": ("DINOv2-L", "vit_large_patch14_dinov2"),
    "dinov2-vitg14": ("DINOv2-g", "vit_giant_patch14_dinov2"),
}
"""ID -> what tables call it, and timm's name of the architecture."""

DINOV2_SIZE = 224
DINOV2_OFFSET = 0.1
"""What DINOv2's own code adds to the number of patches a side before it takes the ratio to that of training."""


class Preparation(NamedTuple):
    """How images are brought to size×size. shorter: what their shorter side becomes before the central square is cut
    out; None where the whole image is brought to the square, whatever its shape."""

    size: int
    shorter: int | None
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __str__(self) -> str:
        how = "squeezed" if self.shorter is None else f"centre of {self.shorter}px"
        return f"{self.size}px {how} {self.interpolation}"


class Network(NamedTuple):
    """name: what tables call it."""

    module: nn.Module
    preparation: Preparation
    name: str


def dinov2_network(name: str, content: Mapping[str, Any], path: Path) -> Network:
    """DINOv2 at 224 pixels. UserError: the file is of another network."""
    title, arch = DINOV2[name]
    module = timm.create_model(arch, pretrained=False, num_classes=0, img_size=DINOV2_SIZE)
    state = _bare(content)
    positions = state.get("pos_embed")
    if isinstance(positions, Tensor) and positions.ndim == 3 and positions.shape[1] > 1:
        grid: Any = module.patch_embed
        state["pos_embed"] = _resampled(positions, grid.grid_size[0])
    load_strictly(module, _renamed(module, state, path, title), path, title)
    cfg: Any = module.pretrained_cfg
    return Network(module, Preparation(DINOV2_SIZE, None, "bicubic", cfg["mean"], cfg["std"]), title)


def _resampled(positions: Tensor, side: int) -> Tensor:
    """Positions [1,1+g²,d] of a class token and g×g patches for side×side: bicubic without antialias, its step
    g / (side + 0.1), as in DINOv2's `interpolate_pos_encoding`."""
    token, patches = positions[:, :1], positions[:, 1:]
    old = round(patches.shape[1] ** 0.5)
    if old == side or old**2 != patches.shape[1]:
        return positions
    grid = patches.float().reshape(1, old, old, -1).permute(0, 3, 1, 2)  # [1,d,g,g]
    ratio = (side + DINOV2_OFFSET) / old
    grid = F.interpolate(grid, scale_factor=(ratio, ratio), mode="bicubic")  # [1,d,side,side]
    return torch.cat([token.float(), grid.flatten(2).transpose(1, 2)], dim=1)


def timm_network(name: str, content: Mapping[str, Any], path: Path) -> Network:
    """A network of timm without its classifier. UserError: timm has no such one, or the file is of another."""
    if not timm.is_model(name):
        hint = did_you_mean(name, [*DINOV2, *timm.list_models()], "give a network that timm lists", cutoff=0.6)
        raise UserError(f"--evaluator encoder={name}: timm has no such network; {hint}")
    try:
        module = timm.create_model(name, pretrained=False, num_classes=0)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"--evaluator encoder={name}: {str(error).splitlines()[0]}; give another tag") from None
    cfg: Any = module.pretrained_cfg
    named = cfg.get("classifier") or ()
    heads = tuple(f"{head}." for head in ((named,) if isinstance(named, str) else named))
    state = _renamed(module, _bare(content), path, f"timm's {name}")
    expected = module.state_dict()
    kept = {key: value for key, value in state.items() if key in expected or not key.startswith(heads)}
    load_strictly(module, kept, path, f"timm's {name}")
    data = resolve_data_config(pretrained_cfg=cfg)
    _, height, width = data["input_size"]
    cut = data["crop_mode"] == "center" or (data["crop_mode"] == "squash" and data["crop_pct"] == 1)
    if height != width or not cut:
        raise UserError(f"--evaluator encoder={name} wants images cut as is not done here; choose another network")
    shorter = int(height / data["crop_pct"]) if data["crop_mode"] == "center" else None
    filters = (data["interpolation"], data["mean"], data["std"])
    return Network(module, _preparation(name, height, shorter, *filters), name)


def open_clip_network(name: str, content: Mapping[str, Any], path: Path) -> Network:
    """The image tower of a network of open_clip; its texts are not read.
    UserError: open_clip has no such one, the file is of another, or it is not known how images are prepared for it."""
    known = open_clip.list_models()
    model, tag = (name, "") if name in known else (name.rpartition(".")[0], name.rpartition(".")[2])
    if model not in known:
        hint = did_you_mean(name, known, "choose one of open_clip.list_models()")
        raise UserError(f"--evaluator encoder=open_clip:{name}: open_clip has no such network; {hint}")
    tags = list_pretrained_tags_by_model(model)
    if tag and tag not in tags:
        hint = did_you_mean(tag, tags, f"its tags are {', '.join(tags) or 'none'}")
        raise UserError(f"--evaluator encoder=open_clip:{name}: open_clip lists no {tag!r} of {model}; {hint}")
    published = [get_pretrained_cfg(model, candidate) for candidate in ([tag] if tag else tags)]
    config: dict[str, Any] = open_clip.get_model_config(model)
    quick = bool(config.get("quick_gelu"))
    if published and all(bool(cfg.get("quick_gelu")) for cfg in published) and not quick:
        raise UserError(
            f"--evaluator encoder=open_clip:{name}: these weights were trained with QuickGELU, and the plain name means"
            f" GELU; write open_clip:{model}-quickgelu@FILE"
        )
    ways = {_open_clip_way(cfg) for cfg in published or [{}]}
    if len(ways) > 1:
        raise UserError(
            f"--evaluator encoder=open_clip:{name}: weights of this network want images prepared in different ways;"
            f" name yours, as in open_clip:{model}.{tags[0]}@FILE"
        )
    mean, std, interpolation, mode = ways.pop()
    vision = {
        **config["vision_cfg"],
        **({"timm_model_pretrained": False} if "timm_model_name" in config["vision_cfg"] else {}),
    }
    module = _build_vision_tower(config["embed_dim"], vision, quick)
    state = {key.removeprefix("module."): value for key, value in _bare(content).items()}
    tower = {key.removeprefix("visual."): value for key, value in state.items() if key.startswith("visual.")}
    load_strictly(module, tower, path, f"the image tower of open_clip's {model}")
    image_size: Any = module.image_size
    size = image_size if isinstance(image_size, int) else image_size[0]
    if mode not in ("shortest", "squash"):
        raise UserError(f"--evaluator encoder=open_clip:{name} wants images cut as is not done here; choose another")
    return Network(
        module, _preparation(name, size, size if mode == "shortest" else None, interpolation, mean, std), name
    )


def _open_clip_way(weights: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...], str, str]:
    return (
        tuple(weights.get("mean", open_clip.OPENAI_DATASET_MEAN)),
        tuple(weights.get("std", open_clip.OPENAI_DATASET_STD)),
        weights.get("interpolation", "bicubic"),
        weights.get("resize_mode", "shortest"),
    )


def _preparation(name: str, size: int, shorter: int | None, interpolation: str, mean: Any, std: Any) -> Preparation:
    if interpolation not in ("bicubic", "bilinear"):
        raise UserError(f"--evaluator encoder={name} wants the filter {interpolation!r}, which is not done here")
    return Preparation(size, shorter, interpolation, tuple(mean), tuple(std))


def _bare(content: Mapping[str, Any]) -> dict[str, Any]:
    """The state dict in a file: at its top, or under the key that trainers put it."""
    for key in ("state_dict", "model"):
        if isinstance(content.get(key), dict):
            return dict(content[key])
    return dict(content)


def _renamed(module: nn.Module, state: dict[str, Any], path: Path, what: str) -> dict[str, Any]:
    """The state in timm's names: the authors' own files are renamed as timm does it."""
    rename = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
    if rename is None:
        return state
    try:
        return dict(rename(state, module))
    except (AttributeError, KeyError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{path} does not hold weights of {what} ({error}); give another file") from None
