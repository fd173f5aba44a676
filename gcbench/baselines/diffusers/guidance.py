"""What a pipeline's guidance scale means, in our terms: null + w · (cond - null), so that w = 1 is plain conditional.

Pipelines spell it in four ways: `guidance_scale` = w; `guidance_scale` = w - 1; `true_cfg_scale` = w beside a
`guidance_scale` that is an input of a distilled network (embedded guidance); or no such thing at all. Which class does
which was read off diffusers 0.42; a test measures it on pipelines of eight of them. A pipeline that is in none of the
lists is drawn at its own default and has no guidance here: a scale whose meaning is not known is never swept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import Parameter, signature
from typing import Any

from gcbench.core.errors import UserError

PLAIN = (
    "StableDiffusionPipeline",
    "StableDiffusionControlNetPipeline",
    "StableDiffusionXLPipeline",
    "StableDiffusionXLControlNetPipeline",
    "StableDiffusion3Pipeline",
    "StableDiffusion3ControlNetPipeline",
    "IFPipeline",
    "HunyuanDiTPipeline",
    "PixArtAlphaPipeline",
    "PixArtSigmaPipeline",
    "SanaPipeline",
    "AuraFlowPipeline",
    "ChromaPipeline",
    "CogView3PlusPipeline",
    "CogView4Pipeline",
    "Lumina2Pipeline",
    "OvisImagePipeline",
    "PRXPipeline",
    "Flux2KleinPipeline",
)
"""guidance_scale is w; at 1 and below they leave the null text out."""

FROM_ZERO = ("ZImagePipeline",)
"""guidance_scale is w - 1."""

TRUE_SCALE = ("FluxPipeline", "FluxControlNetPipeline")
"""true_cfg_scale is w, against an empty negative prompt; guidance_scale is embedded guidance, or ignored."""

FEW_STEPS = ("LCMScheduler", "TCDScheduler", "FlowMatchLCMScheduler")
"""Schedulers of networks that were distilled with their guidance in them (LCM, LCM-LoRA, TCD). A U-Net that takes its
guidance as an input says so itself; other networks, and a LoRA, are known by the scheduler alone."""

UNCHANGED: Mapping[str, Any] = {"cfg_normalization": False, "cfg_trunc_ratio": 1.0, "guidance_rescale": 0.0}
"""Arguments by which some pipelines rescale the guided prediction, each at the value that leaves it alone."""


@dataclass(frozen=True)
class Guidance:
    """keyword: the argument that takes w + offset; None for a pipeline without guidance of our meaning. fixed: further
    arguments, the same at every scale. embedded: the scale that is an input of the network. note: what a reader of the
    scores should know."""

    keyword: str | None
    offset: float = 0.0
    fixed: Mapping[str, Any] = field(default_factory=dict)
    embedded: float | None = None
    note: str = ""

    def arguments(self, w: float) -> dict[str, Any]:
        """Of a call at scale w. UserError: below 1, where pipelines leave the null text out."""
        if self.keyword is None:
            return dict(self.fixed)
        if w < 1:
            raise UserError(f"--guidance {w:g}: pipelines of diffusers turn guidance off below 1; give at least 1")
        return {**self.fixed, self.keyword: w + self.offset}


def parameters(pipe: Any) -> Mapping[str, Parameter]:
    """Of a pipeline's call."""
    return signature(type(pipe).__call__).parameters


def guidance_of(pipe: Any, embedded: float | None = None, distilled: bool | None = None) -> Guidance:
    """What the pipeline can do. embedded: the scale for a network that takes it as an input, in place of the default.
    distilled: whether its guidance was distilled into it, in place of what its files say.
    UserError: `embedded` for a network that takes none."""
    name, known = type(pipe).__name__, parameters(pipe)
    fixed = {key: value for key, value in UNCHANGED.items() if key in known}
    scale = "guidance_scale" in known
    default = known["guidance_scale"].default if scale else None
    why = _distilled(pipe) if distilled is None else "as distilled=true says" * distilled
    if _takes_embedded(pipe):
        embedded = default if embedded is None else embedded
        note = f"guidance_scale {embedded:g} is an input of the network (embedded guidance), not a scale of ours"
        return _embedding(name, {**fixed, "guidance_scale": embedded}, embedded, note, swept=not distilled)
    if embedded is not None:
        raise UserError(
            f"embedded_guidance={embedded:g}: the network of {name} takes no guidance as an input; leave it out"
        )
    if name in TRUE_SCALE:
        note = "distilled without embedded guidance: guidance_scale is ignored"
        return _embedding(name, fixed, None, note, swept=not distilled)
    if not scale:
        return Guidance(None, fixed=fixed, note=f"{name} has no guidance")
    offset = -1.0 if name in FROM_ZERO else 0.0
    if why:
        note = f"{name} is distilled, {why}: it has no guidance"
        return Guidance(None, fixed={**fixed, "guidance_scale": 1 + offset}, note=note)
    if name in (*PLAIN, *FROM_ZERO):
        return Guidance("guidance_scale", offset, fixed)
    why = f"{name}: what its guidance_scale means is not known here, so that it is drawn at its default {default}"
    return Guidance(None, fixed=fixed, note=why)


def _embedding(name: str, fixed: Mapping[str, Any], embedded: float | None, note: str, swept: bool) -> Guidance:
    """For a network that takes its guidance as an input, or ignores it. A `true_cfg_scale` has our
    meaning and is used if `swept`."""
    if name in TRUE_SCALE and swept:
        fixed = {**fixed, "negative_prompt": ""}
        return Guidance("true_cfg_scale", 0.0, fixed, embedded, f"{note}; what is swept is true_cfg_scale")
    return Guidance(None, 0.0, fixed, embedded, f"{note}; {name} has no other guidance")


def _takes_embedded(pipe: Any) -> bool:
    """Whether the denoising network has an input for a guidance scale (LCM's U-Net, Flux' transformer)."""
    unet, transformer = getattr(pipe, "unet", None), getattr(pipe, "transformer", None)
    if unet is not None:
        return getattr(unet.config, "time_cond_proj_dim", None) is not None
    return bool(transformer is not None and getattr(transformer.config, "guidance_embeds", False))


def _distilled(pipe: Any) -> str:
    """What says that the pipeline is distilled, its files or the chosen scheduler; empty where neither does."""
    if getattr(pipe.config, "is_distilled", False):
        return "as its files say"
    scheduler = type(getattr(pipe, "scheduler", None)).__name__
    return f"as {scheduler} says (distilled=false takes guidance with it)" if scheduler in FEW_STEPS else ""
