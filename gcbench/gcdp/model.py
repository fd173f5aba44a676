"""GCDP, the reference model: a Gaussian-categorical diffusion process that draws an image and its layout together.

Source: "Learning to Generate Semantic Layouts for Higher Text-Image Correspondence in Text-to-Image Synthesis"
(ICCV 2023).
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, ClassVar

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from gcbench.core.checkpoint import Card, Checkpoint, fill
from gcbench.core.contracts import Dataset, Given, ModelOptions, Size
from gcbench.core.errors import UserError
from gcbench.core.samples import Samples
from gcbench.diffusion.joint import AUTHORS, JointProcess
from gcbench.diffusion.noise import SeededNoise
from gcbench.gcdp.config import PRESETS, GCDPConfig
from gcbench.gcdp.network import TextToPair, store_in_bfloat16
from gcbench.gcdp.sampling import Beside, Sampling, on, sample_many, unit
from gcbench.networks.decoder_blocks import last_of_levels, recorded
from gcbench.networks.unet import LowRes
from gcbench.training.recipe import TrainConfig
from gcbench.training.trained_model import Imported, TrainedModel, seconds


class GCDP(TrainedModel):
    """Draws image and layout from a text, with guidance on both heads."""

    name: ClassVar[str] = "gcdp"
    config: ClassVar[type[BaseModel]] = GCDPConfig
    presets: ClassVar[Mapping[str, tuple[Any, TrainConfig]]] = PRESETS
    recipe_class: ClassVar[str] = "gcbench.gcdp.training:GCDPRecipe"
    sampling: ClassVar[Mapping[str, str]] = {
        key: f"process.{key}" for key in ("image_sampler", "last_label", "posterior", "threshold", *AUTHORS)
    } | {"repeats": "repeats", "renoise": "renoise"}
    sampler_presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"authors": AUTHORS}
    stepped = True
    enlarges: ClassVar[bool] = False
    staged: ClassVar[bool] = True
    contentless: ClassVar[bool] = True
    layouts: bool = True
    network: TextToPair
    cfg: GCDPConfig
    steps: int

    def __init__(self, network: nn.Module, cfg: GCDPConfig, card: Card, options: ModelOptions):
        if options.precision == "bf16":
            store_in_bfloat16(network)
        super().__init__(network, cfg, card, options)
        self.process = JointProcess(cfg.process)
        self.conditional = self.guided = cfg.text is not None
        self.given = frozenset(("images", "layouts") if cfg.process.classes else ())

    @classmethod
    def open(cls, dataset: Dataset, options: ModelOptions) -> Any:
        if options.cascade is None:
            return super().open(dataset, options)
        return resolve_name("gcbench.gcdp.cascade:Cascade").open(dataset, options, cls)

    @classmethod
    def places(cls, cfg: GCDPConfig) -> Mapping[str, str]:
        return {"text_encoder": "text.name"} if cfg.text is not None and cfg.text.kind == "t5" else {}

    @classmethod
    def import_weights(cls, path: Path, dataset: Dataset | type[Dataset], **options: Any) -> Imported:
        from gcbench.gcdp.authors_checkpoint import read_authors_checkpoint

        return read_authors_checkpoint(path, dataset, **options)

    @classmethod
    def build(cls, cfg: GCDPConfig, weights: Checkpoint, dataset: Dataset) -> nn.Module:
        if cfg.unet.lowres != cls.enlarges:
            stage, place = ("super-resolution", "second") if cfg.unet.lowres else ("base", "first")
            raise UserError(f"{weights.path} is a {stage} stage; give both stages, this one {place}: --cascade BASE,SR")
        network = TextToPair(cfg, empty=True)
        fill(network, weights, frozen=network.state_dict().keys() - network.trained().keys())
        return network

    def draw(
        self,
        prompts: Sequence[str] | None,
        seeds: Sequence[int],
        *,
        size: Size,
        guidance: float,
        given: Given | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        beside = None if given is None else Beside("given", given.images, given.layouts)
        return self.drawn(prompts, seeds, size, guidance, beside)

    def drawn(
        self, prompts: Sequence[str] | None, seeds: Sequence[int], size: Size, guidance: float, beside: Beside | None
    ) -> tuple[Tensor, Tensor | None]:
        cfg = self.cfg
        how = Sampling(size, guidance, self.steps, self.precision, cfg.repeats, cfg.renoise, cfg.low_noise)
        more: dict[str, Any] = {"batch_size": cfg.sample_batch, "beside": beside, "progress": self.progress}
        return sample_many(self.network, self.process, prompts if self.conditional else None, seeds, how, **more)

    def sampler(self) -> Mapping[str, float | str]:
        """The authors' conventions, and how what is given is kept, are said where they are not the defaults."""
        usual, quiet = GCDPConfig(), {*AUTHORS, "repeats", "renoise"} - {"last_label"}
        fields = {key: attrgetter(path) for key, path in self.sampling.items() if path.rpartition(".")[2] in quiet}
        left_out = {key for key, field in fields.items() if field(self.cfg) == field(usual)}
        return {key: fact for key, fact in super().sampler().items() if key not in left_out}

    def check_size(self, size: Size) -> None:
        stride = self.cfg.unet.stride
        if size[0] % stride or size[1] % stride:
            raise UserError(f"size {size[0]}x{size[1]} does not suit this model; take multiples of {stride}")

    @torch.inference_mode()
    def decoder_features(
        self, pairs: Samples, time: float, seeds: Sequence[int], *, layouts: bool = True
    ) -> Mapping[str, Tensor]:
        """As the contract says, of the texts of the pairs where the model reads any."""
        (_, _, h, w), n, process = pairs.images.shape, len(pairs), self.process
        size = (h, w)
        self.check_size(size)
        noise = SeededNoise(seeds, self.device)
        t = torch.full((n,), max(1, round(time * process.cfg.steps)), device=self.device)
        eps, u, other = noise.normal(3, *size), noise.uniform(*size), noise.uniform(*size)
        z = process.noised(unit(pairs.images.to(self.device)), on(pairs.layouts, self.device), t, eps, u)
        layout = z.layout if layouts or z.layout is None else (other * (process.cfg.classes or 0)).long()
        texts = self.told(pairs.prompts)
        blocks = last_of_levels(self.network.unet)
        with (
            torch.compiler.set_stance("force_eager"),  # hooks set after a network was compiled are not seen by it
            torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"),
            recorded(blocks) as seen,
        ):
            text = self.network.read(texts, torch.full((n,), texts is not None, device=self.device))
            self.network.unet(z.image, layout, z.log_snr, text)
        return {name: seen[name].float().cpu() for name in blocks}  # [B,C,h,w] each

    @torch.inference_mode()
    def seconds_per_image(self, size: Size, guidance: float) -> float:
        """From one pass of the network over one batch, timed after one that is not counted."""
        self.check_size(size)
        b, device = self.cfg.sample_batch, self.device
        image = torch.zeros(b, 3, *size, device=device)
        layout = torch.zeros(b, *size, dtype=torch.int64, device=device) if self.process.cfg.classes else None
        log_snr = torch.zeros(b, device=device)
        low = LowRes(image, layout, log_snr) if self.enlarges else None
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            text = self.network.read(None, torch.zeros(b, dtype=torch.bool, device=device))
            took = seconds(lambda: self.network.unet(image, layout, log_snr, text, low).noise.sum().item())
        return took / b * self.steps * (2 if self.guided and guidance != 1 else 1)
