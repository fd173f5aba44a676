"""LDM's floor: held-out real images, encoded and decoded by its autoencoder. No LDM draws better than it decodes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from gcbench.baselines.ldm.config import LDMConfig
from gcbench.baselines.ldm.model import LDM, place_vae
from gcbench.baselines.real import Real
from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, ModelOptions, Size
from gcbench.core.errors import UserError
from gcbench.training.fixed_batches import in_blocks
from gcbench.core.samples import Samples
from gcbench.training.trained_model import TrainedModel
from gcbench.weights.find_weights import open_weights

if TYPE_CHECKING:
    from gcbench.baselines.ldm.autoencoder import Autoencoder


class LDMReconstruction(TrainedModel):
    """Held-out real pairs as the autoencoder of ldm gives them back: the best that ldm could reach.

    Seed i takes pair i of the last split, as `real` does; prompts and layouts (`real`) are the pair's own. So mIoU says
    how much of the real layout can still be read off the decoded image, and FSD is that of `real`. One point, no
    guidance. The weights are those of `ldm`, of which only the autoencoder is read.
    """

    name: ClassVar[str] = "ldm-reconstruction"
    conditional = False
    guided = False
    layouts = True
    network: "Autoencoder"

    def __init__(
        self, vae: "Autoencoder", cfg: LDMConfig, card: checkpoint.Card, dataset: Dataset, options: ModelOptions
    ):
        self.network = vae.eval().to(options.device)
        self.cfg = cfg
        self.card = card
        self.real = Real(dataset)
        self.size = cfg.size
        self.precision = options.precision

    @classmethod
    def open(cls, dataset: Dataset, options: ModelOptions) -> "LDMReconstruction":
        from gcbench.baselines.ldm.autoencoder import build_autoencoder

        if options.steps is not None:
            raise UserError(
                f"--steps {options.steps}: ldm-reconstruction encodes and decodes, in no steps; leave it out"
            )
        cfg, found = open_weights(LDM.name, dataset, options.checkpoint, LDMConfig)
        cfg = place_vae(cfg, options.settings)
        vae = build_autoencoder(cfg.vae)
        if cfg.vae.kind == "tiny":
            own = {name: tensor for name, tensor in found.state.items() if name.startswith("vae.")}
            checkpoint.fill(vae, found._replace(state={name.removeprefix("vae."): own[name] for name in own}))
        return cls(vae, cfg, found.card, dataset, options)

    def generate(
        self, prompts: Sequence[str] | None, *, n: int, size: Size, guidance: float, seeds: Sequence[int]
    ) -> Samples:
        from gcbench.baselines.ldm.sampling import reconstruct

        self.check_size(size)
        real = self.real.generate(prompts, n=n, size=size, guidance=guidance, seeds=seeds)
        (images,) = in_blocks(
            lambda rows, _: (reconstruct(self.network, real.images[rows], self.precision),),
            range(n),
            None,
            self.cfg.block,
        )
        return replace(real, images=images)

    def describe(self) -> Mapping[str, str | int | None]:
        vae = self.cfg.vae
        whose = "ldm's own autoencoder" if vae.kind == "tiny" else f"the autoencoder {vae.path} {vae.sha256}"
        return {**super().describe(), "note": f"real pairs of the split {self.real.split}, through {whose}"}

    def sampler(self) -> Mapping[str, float | str]:
        return {"precision": self.precision}
