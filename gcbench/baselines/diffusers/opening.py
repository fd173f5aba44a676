"""A pipeline with its scheduler, LoRA and ControlNet, on its device: what could not be used is refused in one sentence.

Weights are read as safetensors alone, and code that a repository brings is never run.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.util import find_spec
from logging import CRITICAL
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from torch import nn

from gcbench.baselines.diffusers.place import Place, first_line, folder_hash, read_index
from gcbench.baselines.ldm.foreign import diffusers
from gcbench.core.errors import UserError
from gcbench.core.files import file_hash, parse_json, read_text
from gcbench.core.settings import Count
from gcbench.networks.text import reads_all_alike

DTYPES: Mapping[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
LORA_FILE = "pytorch_lora_weights.safetensors"
ADAPTER = "lora"
FAMILIES: Mapping[str, Sequence[str]] = {
    "DDIMScheduler": ("LCMScheduler", "TCDScheduler"),
    "FlowMatchEulerDiscreteScheduler": ("FlowMatchHeunDiscreteScheduler", "FlowMatchLCMScheduler"),
}
"""Scheduler -> those that fit where it does, which diffusers does not list."""

FAULTS = (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, ImportError, SafetensorError)
"""What loading damaged, unfit or foreign files raises in diffusers, transformers, peft and safetensors."""

UNFIT = ("Failed to import", "cannot import name", "No module named")
"""How the libraries begin when one of them does not find in another what it needs."""


class PipelineConfig(BaseModel):
    """What `--set KEY=VALUE` says of a pipeline.

    scheduler: a class of diffusers, with or without its ending. lora: a .safetensors file, or the folder that holds
    pytorch_lora_weights.safetensors; lora_scale: its weight. controlnet: the folder of a ControlNet; control_scale: its
    weight, the pipeline's own by default. palette: JSON with the colours in which a ControlNet is shown layouts.
    offload: keep the weights in the host's memory, and bring whole parts (`model`) or single layers (`sequential`) to
    the GPU. variant: of the weights' files, such as fp16. embedded_guidance: of a network that takes guidance as an
    input. distilled: whether its guidance was distilled into the network or the LoRA, so that there is none to be
    given; None for what the files and the scheduler say. batch: images that go through the pipeline together.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    scheduler: str | None = None
    lora: Path | None = None
    lora_scale: float = 1.0
    controlnet: Path | None = None
    control_scale: float | None = Field(default=None, ge=0)
    palette: Path | None = None
    offload: Literal["model", "sequential"] | None = None
    variant: str | None = Field(default=None, pattern=r"^\w+$")
    embedded_guidance: float | None = Field(default=None, ge=0)
    distilled: bool | None = None
    batch: Count = 1


def open_pipeline(place: Place, cfg: PipelineConfig, device: str, precision: str) -> tuple[Any, str]:
    """The pipeline, ready to be called, and the hash of all weights in it.
    UserError: files that are no such pipeline, or do not fit it; offload without a GPU."""
    if cfg.offload and not device.startswith("cuda"):
        raise UserError(f"offload={cfg.offload} is for a GPU, and the device is {device}; leave it out")
    if cfg.palette and not cfg.controlnet and "controlnet" not in read_index(place.folder):
        raise UserError(f"palette={cfg.palette} is for a ControlNet; add --set controlnet=FOLDER, or leave it out")
    library, dtype = diffusers("--model diffusers"), DTYPES[precision]
    hashes, parts = [place.hash], dict[str, Any]()
    index = read_index(place.folder)
    if "safety_checker" in index:  # it blacks images out, which would be measured as the model's
        parts["safety_checker"] = None
    if "requires_safety_checker" in index:
        parts["requires_safety_checker"] = False
    remedy = "copy it again" if cfg.variant is None else f"leave variant={cfg.variant} out, or copy it again"
    if cfg.controlnet is not None:
        if "controlnet" in index:
            raise UserError(f"controlnet={cfg.controlnet}: {place.name} has a ControlNet of its own; leave it out")
        remedy = f"{remedy}; if diffusers has no such pipeline with a ControlNet, leave controlnet out"
        parts["controlnet"], content = open_controlnet(cfg.controlnet.expanduser(), dtype)
        hashes.append(content)
    with quiet(), refused(lambda why: f"the pipeline {place.name} cannot be opened ({why}); {remedy}"):
        parts |= text_encoders(place, index, dtype, cfg.variant)
        pipe = library.AutoPipelineForText2Image.from_pretrained(
            place.folder,
            torch_dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            variant=cfg.variant,
            **parts,
        )
    for name, network in pipe.components.items():  # a weight that the files lack is left without a value
        if isinstance(network, nn.Module) and any(weight.is_meta for weight in network.parameters()):
            lacking = [key for key, weight in network.named_parameters() if weight.is_meta]
            raise UserError(lacks(place, name, lacking))
    check_tokenizers(place, pipe)
    if cfg.controlnet is not None:
        check_widths(cfg.controlnet, pipe)
    if cfg.scheduler is not None:
        pipe.scheduler = scheduler_named(library, cfg.scheduler, pipe.scheduler)
    if cfg.lora is not None:
        hashes.append(load_lora(library, pipe, cfg.lora.expanduser(), cfg.lora_scale))
    if getattr(pipe, "watermark", None) is not None:  # there only where a further package is installed
        pipe.watermark = None
    pipe.set_progress_bar_config(disable=True)
    if cfg.offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif cfg.offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device)
    else:
        pipe.to(device)
    return pipe, "+".join(hashes)


def text_encoders(place: Place, index: Mapping[str, Any], dtype: torch.dtype, variant: str | None) -> dict[str, Any]:
    """The parts of a pipeline that transformers loads, which fills a weight that the files lack with random numbers.
    UserError: there are such weights."""
    import transformers

    encoders = {}
    for name, made_of in index.items():
        source, kind = made_of if isinstance(made_of, list) and len(made_of) == 2 else (None, None)
        model = getattr(transformers, str(kind), None) if source == "transformers" else None
        if not (isinstance(model, type) and issubclass(model, transformers.PreTrainedModel)):
            continue
        folder = place.folder / name
        own = variant if variant and any(folder.glob(f"*.{variant}.*")) else None
        loaded: Any = model.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True, variant=own, output_loading_info=True
        )
        encoders[name], info = loaded
        if info["missing_keys"]:
            raise UserError(lacks(place, name, sorted(info["missing_keys"])))
    return encoders


def check_tokenizers(place: Place, pipe: Any) -> None:
    """UserError: one has no vocabulary."""
    import transformers

    for name, part in pipe.components.items():
        tokenizer = getattr(part, "tokenizer", part)
        if isinstance(tokenizer, transformers.PreTrainedTokenizerBase) and reads_all_alike(tokenizer):
            raise UserError(f"the {name} of {place.name} lacks its vocabulary; copy the pipeline again")


WIDTHS = ("cross_attention_dim", "joint_attention_dim")
"""Of the vectors of a text, by which Stable Diffusion 1, 2 and XL differ."""


def check_widths(controlnet: Path, pipe: Any) -> None:
    """UserError: the ControlNet reads texts of another width than the pipeline's network."""
    network = getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)
    mine, theirs = (dict(getattr(part, "config", {})) for part in (pipe.controlnet, network))
    for key in WIDTHS:
        if isinstance(mine.get(key), int) and isinstance(theirs.get(key), int) and mine[key] != theirs[key]:
            raise UserError(
                f"controlnet={controlnet} is for another network: its {key} is {mine[key]}, that of"
                f" {type(pipe).__name__} {theirs[key]}; give one that was trained on this model"
            )


def lacks(place: Place, part: str, weights: Sequence[str]) -> str:
    return (
        f"the {part} of {place.name} lacks {len(weights)} of its weights (first {weights[0]}); copy the pipeline again"
    )


@contextmanager
def refused(sentence: Callable[[str], str]) -> Iterator[None]:
    """What the libraries raise becomes a UserError. sentence: with the first line of theirs in it. A library that finds
    another too old or too new is no fault of the files."""
    try:
        yield
    except UserError:
        raise
    except FAULTS as error:
        why = first_line(error)
        if why.startswith(UNFIT):
            raise UserError(
                f"packages that do not fit each other are installed ({why}); pip install --upgrade 'gcbench[diffusers]'"
            ) from None
        raise UserError(sentence(why)) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Without log, warnings and bars of diffusers and transformers, which are no part of a run's own words."""
    import transformers

    library = diffusers("--model diffusers")
    logs = [library.utils.logging, transformers.utils.logging]
    levels = [log.get_verbosity() for log in logs]
    for log in logs:
        log.set_verbosity(CRITICAL)  # their errors are raised too, and told in one sentence
        log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.set_verbosity(level)
            log.enable_progress_bar()


def scheduler_named(library: Any, name: str, current: Any) -> Any:
    """The scheduler of that name with the settings of the pipeline's own. UserError: unknown, or of another kind."""
    mine = type(current).__name__
    head = next((family for family, members in FAMILIES.items() if mine in members), mine)
    known = {mine, head, *getattr(library, head)._compatibles}
    known |= {member for family, members in FAMILIES.items() if family in known for member in members}
    short = {full.removesuffix("Scheduler").lower(): full for full in sorted(known)}
    chosen = short.get(name.removesuffix("Scheduler").lower())
    if chosen is None:
        near = [short[close] for close in get_close_matches(name.lower(), short, n=3, cutoff=0.4)]
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(short.values())}"
        raise UserError(f"scheduler={name}: there is no such that fits this pipeline's {mine}; {hint}")
    with refused(lambda why: f"scheduler={name} cannot take the settings of {mine} ({why}); choose another"):
        return getattr(library, chosen).from_config(current.config)


def load_lora(library: Any, pipe: Any, path: Path, scale: float) -> str:
    """Add a LoRA to the pipeline; the hash of its file.
    UserError: not there, no safetensors, or not all of it fits the pipeline's networks."""
    file = path / LORA_FILE if path.is_dir() else path
    if file.suffix != ".safetensors" or not file.is_file():
        raise UserError(f"lora={path}: give a .safetensors file that is there, or a folder with {LORA_FILE}")
    if find_spec("peft") is None:
        raise UserError("lora needs the package peft: pip install gcbench[diffusers]")
    if not hasattr(pipe, "load_lora_weights"):
        raise UserError(f"lora={path}: {type(pipe).__name__} takes no LoRA; leave it out")
    what = f"lora={path} does not fit {type(pipe).__name__}"
    before = _adapters(pipe)
    with quiet(), refused(lambda why: f"{what} ({why}); give one that was trained on this model"):
        state = pipe.lora_state_dict(str(file.parent), weight_name=file.name, use_safetensors=True)
        pipe.load_lora_weights(
            str(file.parent), weight_name=file.name, use_safetensors=True, adapter_name=ADAPTER, local_files_only=True
        )
    weights = state[0] if isinstance(state, tuple) else state
    given = sum(not key.endswith(".alpha") for key in weights)
    taken = len(_adapters(pipe) - before)
    if taken != given:
        raise UserError(
            f"{what}: {taken} of its {given} weights have a place there; give one that was trained on this model"
        )
    if scale != 1.0:
        pipe.set_adapters([ADAPTER], [scale])
    return file_hash(file)


def _adapters(pipe: Any) -> set[str]:
    """The names of all LoRA weights in the pipeline's networks."""
    return {
        f"{part}.{name}"
        for part, network in pipe.components.items()
        if isinstance(network, nn.Module)
        for name, _ in network.named_parameters()
        if f".{ADAPTER}." in name or name.endswith(f".{ADAPTER}")
    }


def open_controlnet(folder: Path, dtype: torch.dtype) -> tuple[Any, str]:
    """The ControlNet in a folder that save_pretrained wrote, and the hash of its files.
    UserError: none is there, or it is damaged."""
    library = diffusers("--model diffusers")
    config = folder / "config.json"
    if not config.is_file():
        raise UserError(
            f"controlnet={folder} holds no config.json; give the folder that a ControlNet's save_pretrained wrote"
        )
    try:
        name = parse_json(read_text(config)).get("_class_name")
    except (OSError, ValueError, UserError, AttributeError) as error:
        raise UserError(f"{config} cannot be read ({first_line(error)}); copy the ControlNet again") from None
    if not (isinstance(name, str) and "ControlNet" in name and name.endswith("Model") and hasattr(library, name)):
        raise UserError(f"controlnet={folder} holds a {name}, which is no ControlNet; give the folder of one")
    with quiet(), refused(lambda why: f"controlnet={folder} cannot be opened ({why}); copy it again"):
        net, info = getattr(library, name).from_pretrained(
            folder, torch_dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    if info["missing_keys"]:
        raise UserError(f"controlnet={folder} lacks {len(info['missing_keys'])} weights of its own; copy it again")
    return net, folder_hash(folder)
