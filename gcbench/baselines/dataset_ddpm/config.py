"""What makes a DatasetDDPM: GCDP's config without text and layout, and the pixel classifiers on top.

Source: Baranchuk et al. 2022, "Label-Efficient Semantic Segmentation with Diffusion Models".
"""

from typing import Annotated

from pydantic import Field

from gcbench.core.settings import Config, Count
from gcbench.diffusion.joint import ProcessConfig
from gcbench.gcdp.config import TINY as GCDP_TINY
from gcbench.gcdp.config import TINY_TRAINING as GCDP_TINY_TRAINING
from gcbench.gcdp.config import GCDPConfig
from gcbench.networks.unet import UNetConfig
from gcbench.training.recipe import TrainConfig


class FilterConfig(Config):
    """Which samples are good enough, by how far the classifiers agree on them.

    keep: the share of samples that pass; 1 keeps all, and nothing is drawn twice. tries: samples that are drawn from
    one seed at most, until one passes; if none does, the one on which the classifiers agree best is taken.
    """

    keep: float = Field(default=0.9, gt=0, le=1)
    tries: Count = 4


class EnsembleConfig(Config):
    """members: classifiers. labelled: pairs of the training split whose layouts they see, or as many as there are,
    evenly spaced in it. kept_pixels: pixels of each of them, drawn uniformly, whose features are kept for training:
    labelled · kept_pixels · d floats are all the memory that this takes. batch_pixels: pixels a step that each
    classifier learns from. ignored_share: a class with a smaller share of a labelled image's area is not learnt from
    there; by default the original's 20 pixels of 256×256, and 0 learns from all. classifier_lr: their learning rate.
    calibration: samples that say how uncertain a sample is, from which `filter` has its threshold.
    """

    members: Count = 10
    labelled: Count = 30
    kept_pixels: Count = 1024
    batch_pixels: int = Field(default=512, ge=2)
    ignored_share: float = Field(default=20 / 256**2, ge=0, lt=1)
    classifier_lr: float = Field(default=1e-3, gt=0)
    calibration: int = Field(default=40, ge=8)
    filter: FilterConfig = Field(default_factory=FilterConfig)


class DatasetDDPMConfig(GCDPConfig, EnsembleConfig):
    """GCDP's fields, `text` always None and `process.classes` too: the diffusion knows neither; and the classifiers'.

    decoder_blocks: whose features the classifiers read (names: `networks.decoder_blocks`). times: at which noise the
    features are taken, in 0..999 of DDPM's own linear schedule (`features.equal_times`). ddpm_share: of the training
    steps, those that train the diffusion; the classifiers have the rest.
    """

    text: None = None
    decoder_blocks: tuple[str, ...] = Field(min_length=1)
    times: tuple[Annotated[int, Field(ge=0, lt=1000)], ...] = Field(default=(50, 150, 250), min_length=1)
    ddpm_share: float = Field(default=0.8, gt=0, lt=1)


TINY = DatasetDDPMConfig(
    **{**dict(GCDP_TINY), "unet": GCDP_TINY.unet.model_copy(update={"drawing_blocks": 0}), "text": None},
    decoder_blocks=("up1.0", "up1.1", "up1.2", "up2.2", "final"),
)
"""GCDP's tiny network and image schedule, without its drawing blocks: they are there to read a layout's answer."""

PAPER = DatasetDDPMConfig(
    unet=UNetConfig(),
    process=ProcessConfig(image_schedule="linear", loss_weight="none"),
    decoder_blocks=("up1.0", "up1.4", "up1.8", "up2.4", "up3.0"),
    size=(128, 256),
    sample_steps=1000,
)
"""The reference model's paper-size network, unconditional: 692.38 M parameters, d = 5760.

The original runs on guided-diffusion's U-Net for 256×256 images, 552.8 M parameters: 2 residual blocks and widths
256 · (1, 1, 2, 2, 4, 4) on six levels, attention at three of them, learned variances. Here every diffusion model has
the same U-Net, so that what sets this baseline apart is how its layouts come about. As in the original three blocks at
1/8 of the image's size are read, one at 1/4 and one at 1/2 (its blocks 5, 6, 7, 8, 12 as they leave them); they are
half as wide there, 512, 256 and 128 channels, hence d = 3 · (3 · 512 + 256 + 128) = 5760 and not
3 · (1024 + 3 · 512 + 256) = 8448.
"""

TINY_TRAINING = GCDP_TINY_TRAINING.model_copy(update={"steps": 5000})
"""As many steps of diffusion as GCDP's preset has, 4000, then 1000 of the classifiers, which are cheap."""

PAPER_TRAINING = TrainConfig(steps=375_000, batch_size=8, lr=1.2e-4, ema=0.9999)

PRESETS = {"tiny": (TINY, TINY_TRAINING), "paper": (PAPER, PAPER_TRAINING)}
