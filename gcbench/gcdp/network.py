"""The U-Net with its text encoder: one module, one state dict."""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from gcbench.gcdp.config import GCDPConfig
from gcbench.networks.text import build_text_encoder
from gcbench.networks.unet import Text, UNet


class TextToPair(nn.Module):
    """A U-Net that reads texts. A frozen encoder (T5) is no part of the state dict.

    empty: the U-Net's tensors have no content (device `meta`) until `fill` gives them a checkpoint's.
    """

    def __init__(self, cfg: GCDPConfig, *, empty: bool = False):
        super().__init__()
        encoder = None
        if cfg.text:
            length = min(cfg.text.max_length, cfg.unet.text_length)  # the U-Net reads no more
            encoder = build_text_encoder(cfg.text.model_copy(update={"max_length": length}))
        width = encoder.dim if encoder else None
        with torch.device("meta") if empty else nullcontext():
            self.unet = UNet(cfg.unet.model_copy(update={"classes": cfg.process.classes, "text_dim": width}))
        self.text = encoder

    def read(self, texts: Sequence[str] | None, keep: Tensor) -> Text | None:
        """What the U-Net reads of each text; the learned null where `keep` [B] is false or texts is None."""
        if self.text is None:
            return None
        embedded = self.text(texts) if texts is not None else None
        return self.unet.encode_text(
            None if embedded is None else embedded.embeddings, None if embedded is None else embedded.mask, keep
        )

    def trained(self) -> dict[str, Tensor]:
        """The state dict without frozen parts."""
        named = self.text.named_parameters(remove_duplicate=False) if self.text else ()  # T5 ties its table twice
        frozen = {f"text.{name}" for name, p in named if not p.requires_grad}
        return {name: tensor for name, tensor in self.state_dict().items() if name not in frozen}

    @property
    def device(self) -> torch.device:
        return self.unet.null_text_embed.device


def store_in_bfloat16(network: nn.Module) -> None:
    """Hold the weights of linear layers and convolutions as autocast to bfloat16 reads them: the same results to the
    bit, in half the memory, and nothing is cast anew in every pass."""
    for part in network.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            part.to(torch.bfloat16)
