"""diffusers: a text-to-image pipeline of that library as a model, one image a seed, guidance of our meaning.

torch is loaded by the methods that use it, so that a wrong name is refused at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, ClassVar

from gcbench.baselines.diffusers.place import Place, check, find, first_line
from gcbench.core.contracts import Dataset, Given, Model, ModelOptions, Reading, Size
from gcbench.core.errors import UserError
from gcbench.core.samples import Samples
from gcbench.core.settings import apply

if TYPE_CHECKING:
    from gcbench.baselines.diffusers.opening import PipelineConfig


class Diffusers(Model):
    """A text-to-image pipeline of the library diffusers, from a folder or from the hub.

    Sample i is drawn with a generator of its own, seeded on the CPU, and by default alone in its batch. A pipeline with
    a ControlNet draws on layouts that it is given, in colours; any other derives its layouts.
    """

    conditional = True
    layouts = False
    argument: ClassVar[str | None] = "PATH_OR_HUB_ID[@REVISION]"

    def __init__(
        self,
        pipe: Any,
        dataset: Dataset,
        cfg: PipelineConfig | None = None,
        *,
        place: Place | None = None,
        weights: str | None = None,
        options: ModelOptions | None = None,
    ):
        """pipe: a pipeline that is loaded, on its device. place, weights: where it is from, and its hash."""
        from gcbench.baselines.diffusers.guidance import guidance_of, parameters
        from gcbench.baselines.diffusers.opening import PipelineConfig
        from gcbench.baselines.diffusers.palette import read_palette

        self.pipe, self.cfg, self.place, self.weights = pipe, cfg or PipelineConfig(), place, weights
        self.options = options or ModelOptions()
        self.parameters = parameters(pipe)
        self.guidance = guidance_of(pipe, self.cfg.embedded_guidance, self.cfg.distilled)
        self.guided = self.guidance.keyword is not None
        self.steps = self.options.steps or self._default("num_inference_steps")
        names = [name for name in ("control_image", "image") if name in self.parameters]
        self.control = names[0] if names and "controlnet" in pipe.components else None
        if names[:1] == ["control_image"] and self.control is None:
            raise UserError(f"{type(pipe).__name__} draws on images of its own kind, not on layouts; give a ControlNet")
        self.given = frozenset({"layouts"} if self.control else ())
        self.derives = self.control is None
        self.palette = read_palette(self.cfg.palette, dataset)
        self.size = self._own_size()

    @classmethod
    def check_argument(cls, argument: str) -> None:
        check(argument)

    @classmethod
    def open(cls, dataset: Dataset, options: ModelOptions) -> Diffusers:
        """The pipeline that `options.argument` names, with what `options.settings` adds (see `PipelineConfig`).
        UserError: it, or what is to be added, cannot be opened or does not fit."""
        from gcbench.baselines.diffusers.opening import PipelineConfig, open_pipeline

        if options.argument is None:
            raise UserError(
                "--model diffusers lacks its pipeline; write diffusers:./FOLDER or diffusers:HUB_ID[@REVISION]"
            )
        if options.checkpoint is not None:
            raise UserError(f"--checkpoint {options.checkpoint}: a pipeline has its weights; leave it out")
        settings = {key if "." in key else f"sampler.{key}": value for key, value in options.settings.items()}
        [cfg] = apply({"sampler": PipelineConfig()}, settings)
        place = find(options.argument, cfg.variant)
        pipe, weights = open_pipeline(place, cfg, options.device, options.precision)
        return cls(pipe, dataset, cfg, place=place, weights=weights, options=options)

    def generate(
        self,
        prompts: Sequence[str] | None,
        *,
        n: int,
        size: Size,
        guidance: float,
        seeds: Sequence[int],
        given: Given | None = None,
    ) -> Samples:
        import torch

        layouts = None if given is None else given.layouts
        if self.control and layouts is None:
            raise UserError(
                "a ControlNet draws on layouts; add --given layouts (sweep) or --given-layouts DIR (sample)"
            )
        self._check_size(size)
        texts, rows, drawn = list(prompts or [""] * n), list(range(n)), []
        arguments = {
            **self.guidance.arguments(guidance if prompts else 1.0),
            "height": size[0],
            "width": size[1],
        }
        if self.steps is not None:
            arguments["num_inference_steps"] = self.steps
        for start in range(0, n, self.cfg.batch):
            part = rows[start : start + self.cfg.batch]
            filled = part + part[-1:] * (self.cfg.batch - len(part))  # one batch size: the last digits depend on it
            if layouts is not None:
                from gcbench.baselines.diffusers.palette import painted

                arguments[str(self.control)] = painted(layouts[filled], self.palette)
            images = self._call([texts[row] for row in filled], [seeds[row] for row in filled], arguments)
            drawn.append(images[: len(part)])
            self.progress((start + len(part)) / n)
        source = None if prompts is None else tuple(prompts)
        return Samples(torch.cat(drawn), None, None, source, tuple(f"{seed:06d}" for seed in seeds))

    def _call(self, texts: list[str], seeds: list[int], arguments: Mapping[str, Any]) -> Any:
        """Images uint8 [B,3,H,W] of one pass of the pipeline."""
        import torch

        from gcbench.baselines.diffusers.opening import quiet
        from gcbench.core.samples import finite

        more: dict[str, Any] = {"prompt": texts, "output_type": "np"}
        if "negative_prompt" in arguments:  # one a text
            more["negative_prompt"] = [arguments["negative_prompt"]] * len(texts)
        for key, value in OWN_CHOICES.items():
            if key in self.parameters:
                more[key] = value
        if self.control:
            more["controlnet_conditioning_scale"] = self._control_scale()
        # what still draws from the global generator is repeatable for a seed
        with quiet(), torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(seeds[0])
            more["generator"] = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
            try:
                images = self.pipe(**{**arguments, **more}).images  # [B,H,W,3] in [0,1]
            except Exception as error:
                if not of_scheduler(error):
                    raise
                what = f"{type(self.pipe).__name__} cannot draw with {type(self.pipe.scheduler).__name__}"
                raise UserError(
                    f"{what} in {self.steps} steps ({first_line(error)}); choose other --steps, or --set scheduler=NAME"
                ) from error
        pixels = finite(torch.from_numpy(images).float()).permute(0, 3, 1, 2)
        return (pixels.clamp(0, 1) * 255).round().to(torch.uint8).contiguous()

    def reading(self, texts: Sequence[str]) -> Reading | None:
        """Texts that no text encoder of the pipeline reads to their end."""
        known = [getattr(self.pipe, name, None) for name in ("tokenizer", "tokenizer_2", "tokenizer_3", "tokenizer_4")]
        tokenizers = [tokenizer for tokenizer in known if hasattr(tokenizer, "model_max_length")]
        if not tokenizers:
            return None
        from gcbench.baselines.diffusers.opening import quiet

        with quiet():
            cut = [i for i, text in enumerate(texts) if all(self._cuts(tokenizer, text) for tokenizer in tokenizers)]
        empty = [i for i, text in enumerate(texts) if not text.strip()]
        return Reading(n=len(texts), cut=[f"{i:06d}" for i in cut], empty=[f"{i:06d}" for i in empty])

    def _cuts(self, tokenizer: Any, text: str) -> bool:
        longest = tokenizer.model_max_length
        if not type(tokenizer).__name__.startswith("CLIP"):
            longest = min(longest, self._default("max_sequence_length") or longest)
        return len(tokenizer(text).input_ids) > longest

    def describe(self) -> Mapping[str, str | int | None]:
        import torch

        networks = [part for part in self.pipe.components.values() if isinstance(part, torch.nn.Module)]
        place = self.place
        facts = [
            type(self.pipe).__name__ if place is None else f"{type(self.pipe).__name__}, {place.version}",
            "" if self.cfg.lora is None else f"LoRA {self.cfg.lora.name}",
            "" if self.control is None else "layouts shown to a ControlNet",
            "no safety checker" if "safety_checker" in self.pipe.components else "",
            self.guidance.note,
        ]
        parameters = sum(parameter.numel() for network in networks for parameter in network.parameters())
        return {"weights": self.weights, "parameters": parameters, "note": "; ".join(filter(None, facts))}

    def sampler(self) -> Mapping[str, float | str]:
        """Of the protocol: what else than seed and guidance an image depends on."""
        facts: dict[str, float | str | None] = {
            "steps": self.steps,
            "scheduler": type(self.pipe.scheduler).__name__,
            "precision": self.options.precision,
            "lora_scale": self.cfg.lora_scale if self.cfg.lora else None,
            "control_scale": self._control_scale() if self.control else None,
            "embedded_guidance": self.guidance.embedded,
            "batch": self.cfg.batch if self.cfg.batch > 1 else None,
            "palette": str(self.palette.tolist()) if self.control and self.cfg.palette else None,
        }
        return {key: value for key, value in facts.items() if value is not None}

    def _default(self, name: str) -> Any:
        return self.parameters[name].default if name in self.parameters else None

    def _control_scale(self) -> float:
        default = self._default("controlnet_conditioning_scale")
        return float(default if self.cfg.control_scale is None else self.cfg.control_scale)

    def _own_size(self) -> Size | None:
        """(H, W) that the pipeline draws if nothing is said: its network's latents times the autoencoder's factor."""
        factor = getattr(self.pipe, "vae_scale_factor", None)
        network = getattr(self.pipe, "unet", None) or getattr(self.pipe, "transformer", None)
        own = getattr(self.pipe, "default_sample_size", None) or getattr(
            getattr(network, "config", None), "sample_size", None
        )
        sides = [own, own] if isinstance(own, int) else list(own or ())
        if len(sides) != 2 or not all(isinstance(side, int) for side in sides):
            return None
        return sides[0] * (factor or 1), sides[1] * (factor or 1)

    def _check_size(self, size: Size) -> None:
        processor = getattr(self.pipe, "image_processor", None)
        unit = getattr(getattr(processor, "config", None), "vae_scale_factor", 1) * getattr(self.pipe, "patch_size", 1)
        if size[0] % unit or size[1] % unit:
            raise UserError(
                f"--size {size[0]}x{size[1]}: this pipeline draws sides that {unit} divides; give another size"
            )


def of_scheduler(error: Exception) -> bool:
    """Whether it was raised by a scheduler, or where a pipeline asks one for its steps or takes one."""
    frames = extract_tb(error.__traceback__)
    return any(frame.name == "retrieve_timesteps" or "scheduler." in (frame.line or "") for frame in frames)


OWN_CHOICES: Mapping[str, Any] = {"clean_caption": False, "use_resolution_binning": False}
"""Arguments of some pipelines that would change texts by what packages are installed, or the size that is asked for."""
