"""Several pixels drawn from one place of a coarser grid (`pixel_shuffle`), without the checkerboard that they start as.

Source: Aitken et al. 2017, "Checkerboard artifact free sub-pixel convolution".
"""

import torch
from torch import Tensor


@torch.no_grad()
def start_alike(parameter: Tensor, patch: int) -> None:
    """Let the patch² pixels of a place start alike. parameter [C·patch²,...]: weight or bias before the shuffle."""
    parameter.copy_(parameter[:: patch**2].repeat_interleave(patch**2, dim=0))
