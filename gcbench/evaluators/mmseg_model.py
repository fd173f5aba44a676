"""Any model of mmsegmentation as a segmenter: built from its config, filled with weights that are read without code.

Needs the extra `mmseg`. A config is Python and runs when it is read: only weights may come from a stranger.
"""

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.files import file_hash, text_hash
from gcbench.evaluators.segmenter_interface import Loaded, Segmented, class_names, outputs_of
from gcbench.weights.manifest import did_you_mean
from gcbench.weights.official import load_official


@contextmanager
def _hushed() -> Iterator[None]:
    """What importing and building prints goes to standard error; warnings of missing optional parts are dropped."""
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@_hushed()
def open_mmseg(config: str, where: str | None, scale: float, dataset: Dataset) -> Loaded:
    """config: a name in mmsegmentation's model zoo, or the path of a config file. where: a file of weights for it.
    UserError: the extra is missing; no such config, or one that cannot be built; weights that are missing, unsafe or of
    another model; classes that are not the dataset's.
    """
    try:
        import mmseg
        from mmengine.config import Config
        from mmseg.utils import register_all_modules
    except ImportError as error:
        raise UserError(
            f"--evaluator segmenter=mmseg:{config} needs mmsegmentation ({error}); run pip install 'gcbench[mmseg]'"
        ) from None
    zoo = Path(mmseg.__file__).parent / ".mim" / "configs"
    path = _find_config(config, zoo)
    if where is None:
        raise UserError(
            f"--evaluator segmenter=mmseg:{config} has no weights{_published(path, zoo)};"
            f" give their file as segmenter=mmseg:{config}@FILE"
        )
    content = load_official(Path(where))
    register_all_modules()
    try:
        cfg = Config.fromfile(path)
        _without_initial_weights(cfg.model)
        settings = text_hash(repr(cfg.model), length=6)
        model = _build(cfg.model)
    except Exception as error:  # a config is code, and names modules that may not be there
        raise UserError(
            f"mmsegmentation cannot build {path}: {type(error).__name__}: {_line(error)}; choose another config"
        ) from None
    try:
        model.load_state_dict(content.get("state_dict", content))
    except Exception as error:
        raise UserError(f"{where} does not fit {path.stem}: {_line(error)}; give the file of this config") from None
    names = class_names(content) or _config_names(cfg)
    if names is None:
        raise UserError(f"neither {where} nor {path} names its classes; add dataset_meta to the file's meta")
    if len(names) != model.out_channels:
        raise UserError(f"{where} names {len(names)} classes but answers {model.out_channels}; choose another model")
    labels = outputs_of(names, dataset, f"mmseg:{path.stem}")
    marks = f"{settings}#{file_hash(Path(where))}"
    return Loaded(MMSegNetwork(model, scale), labels, scale, f"mmseg:{path.stem}:{marks} ×{scale:g}")


class MMSegNetwork(nn.Module):
    """Images [B,3,H,W] in [0,1] -> Segmented, by the model's own normalisation and test mode (whole or windows).

    scale: images are enlarged by this first (bilinear, not rounded to 8 bits). pooled: the spatial means of the
    maps that the decode head reads (`in_index`), each at its own resolution, concatenated; over windows, their mean.
    None for a backbone that gives anything but maps.
    """

    def __init__(self, model: Any, scale: float):
        super().__init__()
        self.model = model
        self.scale = scale
        head: Any = model.decode_head[0] if isinstance(model.decode_head, nn.ModuleList) else model.decode_head
        self.chosen: Sequence[int] = [head.in_index] if isinstance(head.in_index, int) else list(head.in_index)
        self._seen: list[Any] = []
        last = model.neck if model.with_neck else model.backbone
        last.register_forward_hook(lambda module, inputs, output: self._seen.append(output))

    def _apply(self, *args: Any, **kwargs: Any) -> "MMSegNetwork":
        """The model's preprocessor keeps its device by itself; only the model's own `to` tells it."""
        super()._apply(*args, **kwargs)
        self.model.to(next(self.model.parameters()).device)
        return self

    def forward(self, images: Tensor) -> Segmented:
        x = images.flip(1) * 255  # BGR, as mmsegmentation reads images
        if self.scale != 1:
            x = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        h, w = x.shape[-2:]
        inputs = self.model.data_preprocessor({"inputs": list(x), "data_samples": []})["inputs"]
        padded = tuple(inputs.shape[-2:])  # at the right and bottom
        about = {"ori_shape": (h, w), "img_shape": padded, "pad_shape": padded, "padding_size": [0, 0, 0, 0]}
        self._seen.clear()
        logits = self.model.inference(inputs, [dict(about) for _ in x])[..., :h, :w]
        if (h, w) != images.shape[-2:]:
            logits = F.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=self.model.align_corners)
        pooled = [self._pool(maps) for maps in self._seen]
        self._seen.clear()
        parts = [vector for vector in pooled if vector is not None]
        return Segmented(logits, torch.stack(parts).mean(0) if parts and len(parts) == len(pooled) else None)

    def _pool(self, maps: Any) -> Tensor | None:
        """The maps of one window -> [B,d]."""
        maps = maps if isinstance(maps, tuple | list) else [maps]
        read = [maps[i] for i in self.chosen]
        if not all(isinstance(x, Tensor) and x.ndim == 4 for x in read):
            return None
        return torch.cat([x.mean(dim=(2, 3)) for x in read], dim=1)


def _find_config(config: str, zoo: Path) -> Path:
    if config.endswith(".py"):
        if not Path(config).is_file():
            raise UserError(f"--evaluator segmenter=mmseg:{config}: no such file; give a config of mmsegmentation")
        return Path(config)
    known = {path.stem: path for path in sorted(zoo.glob("*/*.py")) if path.parent.name != "_base_"}
    if config not in known:
        hint = did_you_mean(config, known, "give a name of its model zoo or the path of a .py file")
        raise UserError(f"mmsegmentation has no config {config!r}; {hint}")
    return known[config]


def _published(config: Path, zoo: Path) -> str:
    """Where the model zoo has the weights of a config, as a clause; empty if it says nothing."""
    import yaml

    index = config.with_name("metafile.yaml")
    if not config.is_relative_to(zoo) or not index.is_file():
        return ""
    models = (yaml.safe_load(index.read_text("utf-8")) or {}).get("Models", [])
    urls = [model.get("Weights") for model in models if model.get("Name") == config.stem]
    return f" (the model zoo has them at {urls[0]})" if urls and urls[0] else ""


def _build(cfg: Any) -> Any:
    """The segmentor of a config's `model`, on the CPU, with plain batch normalisation."""
    from mmengine.model import revert_sync_batchnorm
    from mmseg.models import EncoderDecoder
    from mmseg.registry import MODELS

    model = revert_sync_batchnorm(MODELS.build(cfg))
    if not isinstance(model, EncoderDecoder):
        raise TypeError(f"{type(model).__name__} is no EncoderDecoder")
    return model


def _without_initial_weights(cfg: Any) -> None:
    """Drop all that would fetch pretrained weights while a model is built, in place."""
    for part in cfg.values() if isinstance(cfg, dict) else cfg:
        if isinstance(part, dict | list | tuple):
            _without_initial_weights(part)
    if isinstance(cfg, dict):
        cfg.pop("init_cfg", None)
        if "pretrained" in cfg:
            cfg["pretrained"] = None


def _config_names(cfg: Any) -> tuple[str, ...] | None:
    """The classes of the dataset that a config trains on, or None."""
    from mmseg.registry import DATASETS

    name = cfg.get("dataset_type")
    names = getattr(DATASETS.get(name), "METAINFO", {}).get("classes") if name else None
    return tuple(names) if names else None


def _line(error: Exception) -> str:
    """The first line of an error that says something, shortened, without its full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    detail = lines[1] if len(lines) > 1 and lines[0].endswith(":") else lines[0] if lines else "no reason given"
    return shorten(detail.rstrip("."), 200, placeholder=" …")
