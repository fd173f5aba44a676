"""The decoder of a U-Net by the names of its blocks, and what blocks gave while a network ran."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn

from gcbench.networks.unet import ResnetBlock, UNet


def decoder_blocks(unet: UNet) -> dict[str, ResnetBlock]:
    """The residual blocks on the way up by name: `up0.0`, `up0.1`, ... from the deepest level on; last, `final`."""
    named = {
        f"up{level}.{place}": block
        for level, (first, rest, _, _) in enumerate(unet.ups)
        for place, block in enumerate((first, *rest))
    }
    return {**named, "final": unet.final_res_block}


def last_of_levels(unet: UNet) -> dict[str, ResnetBlock]:
    """The last residual block of each level on the way up, the deepest level first: `up0`, `up1`, ..., `final`."""
    return {name.partition(".")[0]: block for name, block in decoder_blocks(unet).items()}


@contextmanager
def recorded(blocks: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """While it is open, what each of `blocks` last gave: name -> [B,C,h,w]."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        outputs[name] = output

    handles = [block.register_forward_hook(partial(keep, name)) for name, block in blocks.items()]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
