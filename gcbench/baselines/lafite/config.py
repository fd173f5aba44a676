"""What makes a Lafite: networks, encoder, pseudo text features, losses. Stored whole in every checkpoint."""

from typing import Literal

from pydantic import Field, model_validator

from gcbench.core.run_spec import ImageSize
from gcbench.core.settings import Config, Count, Share, Weight
from gcbench.networks.stylegan2 import StyleGAN2Config
from gcbench.text.known_words import KnownWords
from gcbench.training.recipe import SampleBatch, TrainConfig


class EncoderConfig(KnownWords):
    """What places images and texts in one space of `dim` dimensions.

    kind `dual`: trained with the model; `widths` of its convolutions, each halving the image; `temperature` of its
    loss, high enough to spread images and texts over the whole space, since the generator's contrastive losses at
    `loss.tau` tell apart only what is far apart. kind `open_clip`: the model `name` of open_clip, its weights in the
    file `path`, whose hash `sha256` is written when training begins and must be met when images are drawn.
    """

    kind: Literal["dual", "open_clip"] = "dual"
    dim: Count = 64
    widths: tuple[Count, ...] = Field(default=(32, 64, 96, 128), min_length=1)
    temperature: float = Field(default=0.3, gt=0)
    name: str = "ViT-B-32-quickgelu"
    path: str = ""
    sha256: str = ""


class PseudoConfig(Config):
    """kind, xi: see `pseudo`. hidden: width of the learned form's networks; the other forms have none."""

    kind: Literal["fixed", "legacy_mix", "learned"] = "fixed"
    xi: float = Field(default=0.75, gt=0)
    hidden: Count = 128


class LossConfig(Config):
    """tau: temperature of the contrastive losses; lam: share of the direction from images to texts.

    itd, itc: weights of the contrastive loss on the discriminator's features and on the encoder's features of drawn
    images. gamma: of R1, which comes every `r1_every` steps. path: weight of the path length, every `path_every`
    steps; 0 leaves it out. legacy_exp, legacy_batch_sum: what the released code does otherwise, see `contrastive`.
    """

    tau: float = Field(default=0.5, gt=0)
    lam: Share = 0.0
    itd: Weight = 5.0
    itc: Weight = 10.0
    gamma: Weight = 10.0
    r1_every: Count = 16
    path: Weight = 0.0
    path_every: Count = 4
    legacy_exp: bool = False
    legacy_batch_sum: bool = False


class LafiteConfig(Config):
    """stylegan, encoder, pseudo, loss: see each. size: (H, W) it is trained at; stylegan.size is set to it.

    text_dim: width of what each modulated layer reads of the text. mixing_prob: chance that an image in training is
    given with a pseudo feature instead of its text's: 1 is language-free. text_xi: noise on the features of real
    texts in training, of the fixed form. preparation: share of the run, at its beginning, in which a dual encoder and
    learned pseudo features are trained; without either there is none. sample_batch: images that go through the network
    together when it draws.
    """

    stylegan: StyleGAN2Config = Field(default_factory=StyleGAN2Config)
    encoder: EncoderConfig = Field(default_factory=EncoderConfig)
    pseudo: PseudoConfig = Field(default_factory=PseudoConfig)
    loss: LossConfig = Field(default_factory=LossConfig)
    size: ImageSize = (64, 128)
    text_dim: Count = 64
    mixing_prob: Share = 0.5
    text_xi: Weight = 0.1
    preparation: float = Field(default=0.2, gt=0, lt=1)
    sample_batch: SampleBatch = 8

    @model_validator(mode="after")
    def _one_size(self) -> "LafiteConfig":
        self.stylegan = self.stylegan.model_copy(update={"size": self.size})
        return self


TINY = LafiteConfig(
    stylegan=StyleGAN2Config(z_dim=64, w_dim=128, mapping_layers=4, channel_base=1024, channel_max=128, mixing=0.0),
    loss=LossConfig(itd=1.0, itc=2.0, gamma=0.5),
)
"""For 64×128 on two cores."""

PAPER = LafiteConfig(
    stylegan=StyleGAN2Config(z_dim=512, w_dim=512, mapping_layers=8, channel_base=16384, channel_max=512, mixing=0.9),
    encoder=EncoderConfig(kind="open_clip", dim=512, name="ViT-B-32-quickgelu"),
    pseudo=PseudoConfig(hidden=1024),
    loss=LossConfig(path=2.0),
    size=(256, 512),
    text_dim=512,
    mixing_prob=0.0,
)
"""StyleGAN2's 256-pixel network as released, its seed map 4×8 instead of 4×4; trained on pairs, with CLIP ViT-B/32.
The generator has 35.9 M parameters; the released one about 39 M, since its images before the last have text layers of
their own."""

TINY_TRAINING = TrainConfig(steps=4000, batch_size=16, lr=2.5e-3, betas=(0.0, 0.99), ema=0.998)
PAPER_TRAINING = TrainConfig(steps=390_000, batch_size=64, lr=2.5e-3, betas=(0.0, 0.99), ema=0.9978)

PRESETS = {"tiny": (TINY, TINY_TRAINING), "paper": (PAPER, PAPER_TRAINING)}
