"""Checkpoints of the authors' public code as ours: the network from its tensors' shapes, the rest from its tables.

Their trainer writes one file: `model` (networks `unets.I.*` and the label schedule's tables), `ema` (averaged weights
`I.ema_model.*`), `steps` a stage, `version`. I is the stage: 0 the base, 1 super-resolution, whose file holds an empty
placeholder for the base. Names of tensors are ours. What no tensor shows (8 groups a normalisation) is their default.
"""

from collections.abc import Mapping
from itertools import count
from pathlib import Path

import torch
from torch import Tensor

from gcbench.core.contracts import Dataset, Size
from gcbench.core.errors import UserError
from gcbench.diffusion.joint import ProcessConfig
from gcbench.diffusion.schedules import NAMES, Schedule
from gcbench.gcdp.config import GCDPConfig
from gcbench.networks.text import TextConfig
from gcbench.networks.unet import UNet, UNetConfig
from gcbench.training.trained_model import Imported
from gcbench.weights.official import load_official

HEIGHTS = (128, 256)
"""Of the images that the stages draw; the width follows the dataset's own proportions."""


def read_authors_checkpoint(
    path: Path,
    dataset: Dataset | type[Dataset],
    *,
    weights: str = "ema",
    image_schedule: str | None = None,
    size: Size | None = None,
) -> Imported:
    """The last stage that the file holds.

    Args:
        weights: `ema`, or `model`: the weights as the last step left them.
        image_schedule: `cosine` or `linear`. It is in no file; by default that of the labels, which is.
        size: (H, W); by default 128 or 256 high, by stage, in the proportions of the dataset's images.
    UserError: the file is damaged, or not of their trainer, or of another number of classes than the dataset.
    """
    content = load_official(path)
    model, ema = content.get("model"), content.get("ema")
    foreign = UserError(f"{path} is not a checkpoint of the GCDP authors' trainer; give the file that it wrote")
    if not isinstance(model, Mapping) or not isinstance(ema, Mapping):
        raise foreign
    stages = {
        int(name.split(".")[1]) for name in model if name.startswith("unets.") and name.endswith("final_conv.weight")
    }
    if not stages:
        raise foreign
    stage = max(stages)
    prefix, source = (f"{stage}.ema_model.", ema) if weights == "ema" else (f"unets.{stage}.", model)
    state = {name.removeprefix(prefix): tensor.float() for name, tensor in source.items() if name.startswith(prefix)}
    try:
        unet = unet_config(state)
        label_schedule, steps = _label_schedule(model[f"noise_schedulers_lbl.{stage}.log_cumprod_alpha"])
        with torch.device("meta"):
            UNet(unet).load_state_dict(state, assign=True)
    except (KeyError, AttributeError, RuntimeError, ValueError, IndexError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"{path} holds another network than the GCDP authors' ({reason}); give the file that their"
                        " trainer wrote") from None  # fmt: skip
    if unet.classes != len(dataset.classes):
        raise UserError(f"{path} was trained for {unet.classes} classes and {dataset.name} has {len(dataset.classes)};"
                        " name the dataset that it was trained on")  # fmt: skip
    if any(not tensor.isfinite().all() for tensor in state.values()):
        raise UserError(f"{path} holds weights that are not finite; copy it again")
    notes = []
    if image_schedule is None:
        image_schedule = label_schedule
        notes.append(f"the file does not say the image's schedule: taken to be {label_schedule}, as the layout's is"
                    " (--image-schedule names another)")  # fmt: skip
    if size is None:
        height, (h, w) = HEIGHTS[min(stage, 1)], dataset.size
        size = (height, round(height * w / h))
        notes.append(f"the file does not say its images' size: taken to be {size[0]}x{size[1]} (--size names another)")
    config = GCDPConfig(
        unet=unet.model_copy(update={"classes": None, "text_dim": None}),
        process=ProcessConfig(
            steps=steps,
            image_schedule=image_schedule,  # type: ignore[arg-type]
            label_schedule=label_schedule,  # type: ignore[arg-type]
            classes=unet.classes,
            label_scale="authors",
        ),
        text=None if unet.text_dim is None else TextConfig(kind="t5", dim=unet.text_dim, max_length=unet.text_length),
        size=size,
    )
    trained = content.get("steps")
    facts = {"version": content.get("version"), "weights": weights, "stage": stage}
    facts["steps"] = int(trained.flatten()[stage]) if isinstance(trained, Tensor) else None
    return Imported({f"unet.{name}": tensor for name, tensor in state.items()}, config, facts, notes)


def unet_config(state: Mapping[str, Tensor]) -> UNetConfig:
    """All that shapes the network, from its tensors' shapes. KeyError: one that all such networks have is missing."""
    shape = {name: tuple(tensor.shape) for name, tensor in state.items()}
    dim, cond_dim = shape["final_res_block.block2.project.weight"][0], shape["null_text_embed"][2]
    levels = [i for i in range(_number(shape, "downs.{}.1.block1.project.weight"))]
    dim_head = shape["mid_attn.fn.fn.null_kv"][1]
    feeds = [f"downs.{i}.3.layers.0.1" for i in levels if f"downs.{i}.3.layers.0.1.1.weight" in shape]
    hidden = [shape[f"{feed}.1.weight"][0] / shape[f"{feed}.1.weight"][1] for feed in feeds]
    return UNetConfig(
        dim=dim,
        mults=tuple(shape[f"downs.{i}.1.block1.project.weight"][0] // dim for i in levels),
        blocks=tuple(_number(shape, f"downs.{i}.2.{{}}.block1.project.weight") for i in levels),
        self_attention=tuple(f"downs.{i}.3.layers.0.1.1.weight" in shape for i in levels),
        cross_attention=tuple(f"downs.{i}.1.cross_attn.fn.to_q.weight" in shape for i in levels),
        classes=shape["init_emb_seg.emb_layer.weight"][0],
        layout_dim=shape["init_emb_seg.emb_layer.weight"][1],
        text_dim=shape["text_to_cond.weight"][1] if "text_to_cond.weight" in shape else None,
        text_length=shape["null_text_embed"][1],
        latents=shape["attn_pool.latents"][0],
        pooled=shape["attn_pool.to_latents_from_mean_pooled_seq.1.weight"][0] // cond_dim,
        cond_dim=None if cond_dim == dim else cond_dim,
        heads=shape["mid_attn.fn.fn.to_q.weight"][0] // dim_head,
        dim_head=dim_head,
        ff_mult=hidden[0] if hidden else 2.0,
        time_tokens=shape["to_time_tokens.0.weight"][0] // cond_dim,
        sinusoids=2 * shape["to_time_hiddens.0.weights"][0],
        init_kernels=tuple(
            shape[f"init_conv.convs.{i}.weight"][2] for i in range(_number(shape, "init_conv.convs.{}.weight"))
        ),
        lowres="init_emb_seg_lowres.emb_layer.weight" in shape,
    )


def _number(names: Mapping[str, object], pattern: str) -> int:
    """How many names of the pattern there are, counted from 0."""
    return next(i for i in count() if pattern.format(i) not in names)


def _label_schedule(log_alpha_bar: Tensor) -> tuple[str, int]:
    """The schedule whose table this is (level i of T at i = 0..T-1), and T. ValueError: none of ours."""
    steps = len(log_alpha_bar)
    for name in NAMES:
        ours = Schedule(name, steps, normalised=True).alpha_bar[:-1]
        if (log_alpha_bar.double().exp() - ours).abs().max() < 1e-4:
            return name, steps
    raise ValueError("its label schedule is neither cosine nor linear")
