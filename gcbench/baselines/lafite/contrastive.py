"""How well images and texts go together: contrastive losses, and the discriminator's view of a pair.

images, texts [B,D]: features, row i of both belongs together; only their directions count in the contrastive losses.
Two switches stand for what the released code does otherwise than the paper: `legacy_exp` and `legacy_batch_sum`.

Source: Zhou et al. 2022, "Towards Language-Free Training for Text-to-Image Generation", section 3.2.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from gcbench.core.shared_batch import gathered


def cosines(images: Tensor, texts: Tensor) -> Tensor:
    """[B,B], row: image, column: text."""
    return F.normalize(images) @ F.normalize(texts).T


def matching(logits: Tensor, lam: float) -> Tensor:
    """Cross-entropy of finding one's own among the batch: images their texts (share `lam`), texts their images.

    logits: [B,B], row: image, column: text.
    """
    own = torch.arange(len(logits), device=logits.device)  # [B]
    return lam * F.cross_entropy(logits, own) + (1 - lam) * F.cross_entropy(logits.T, own)


def contrastive(images: Tensor, texts: Tensor, *, tau: float, lam: float = 0.0, legacy_exp: bool = False) -> Tensor:
    """-τ mean_j log softmax_i(cos(image_i, text_j)/τ) at i = j; `lam` is the share of the other direction.

    legacy_exp: softmax of exp(cos/τ), as released: cosines below 0 hardly differ then, and those above count for more.
    """
    logits = cosines(images, texts) / tau
    return tau * matching(logits.exp() if legacy_exp else logits, lam)


def paired_logits(logits: Tensor, features: Tensor, texts: Tensor, *, legacy_batch_sum: bool = False) -> Tensor:
    """D(x_i) + <d(x_i), h_i> [B], from D(x) [B] and d(x) [B,D] of images and texts h [B,D].

    legacy_batch_sum: every image gets the sum of the inner products over the batch, as released.
    """
    inner = (features * texts).sum(1)  # [B]
    return logits + (gathered(inner).sum() if legacy_batch_sum else inner)
