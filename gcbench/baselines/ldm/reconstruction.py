"""LDM's floor: held-out real images, encoded and decoded by its autoencoder. No LDM draws better than it decodes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Self

from torch import Tensor, nn

from gcbench.baselines.ldm.config import LDMConfig
from gcbench.baselines.ldm.model import LDM
from gcbench.baselines.real import Real
from gcbench.core.checkpoint import Checkpoint, fill
from gcbench.core.contracts import Dataset, Given, ModelOptions, Size
from gcbench.core.samples import Samples
from gcbench.training.fixed_batches import in_fixed_batches
from gcbench.training.trained_model import TrainedModel

if TYPE_CHECKING:
    from gcbench.baselines.ldm.autoencoder import Autoencoder


class LDMReconstruction(TrainedModel):
    """Held-out real pairs as the autoencoder of ldm gives them back: the best that ldm could reach.

    Seed i takes pair i of the last split, as `real` does; prompts and layouts (`real`) are the pair's own. So mIoU says
    how much of the real layout can still be read off the decoded image, and FSD is that of `real`. One point, no
    guidance. The weights are those of `ldm`, of which only the autoencoder is read.
    """

    name: ClassVar[str] = "ldm-reconstruction"
    trained_as: ClassVar[str] = LDM.name
    config = LDMConfig
    recipe = None  # type: ignore[assignment]
    conditional = False
    guided = False
    layouts = True
    network: "Autoencoder"
    cfg: LDMConfig
    real: Real

    @classmethod
    def open(cls, dataset: Dataset, options: ModelOptions) -> Self:
        model = super().open(dataset, options)
        model.real = Real(dataset)
        return model

    @classmethod
    def places(cls, cfg: LDMConfig) -> Mapping[str, str]:
        return LDM.places(cfg)

    @classmethod
    def build(cls, cfg: LDMConfig, weights: Checkpoint, dataset: Dataset) -> nn.Module:
        from gcbench.baselines.ldm.autoencoder import build_autoencoder

        vae = build_autoencoder(cfg.vae)
        if cfg.vae.kind == "tiny":
            fill(vae, weights.part("vae."))
        return vae

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
        from gcbench.baselines.ldm.sampling import reconstruct

        self.check_size(size)
        real = self.real.generate(prompts, n=n, size=size, guidance=guidance, seeds=seeds)
        (images,) = in_fixed_batches(
            lambda rows, _: (reconstruct(self.network, real.images[rows], self.precision),),
            range(n),
            None,
            self.cfg.sample_batch,
        )
        return replace(real, images=images)

    def draw(
        self, prompts: Sequence[str] | None, seeds: Sequence[int], *, size: Size, guidance: float
    ) -> tuple[Tensor, Tensor | None]:
        samples = self.generate(prompts, n=len(seeds), size=size, guidance=guidance, seeds=seeds)
        return samples.images, samples.layouts

    def describe(self) -> Mapping[str, str | int | None]:
        vae = self.cfg.vae
        whose = "ldm's own autoencoder" if vae.kind == "tiny" else f"the autoencoder {vae.path} {vae.sha256}"
        return {**super().describe(), "note": f"real pairs of the split {self.real.split}, through {whose}"}
