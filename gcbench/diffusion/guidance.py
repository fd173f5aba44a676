"""Classifier-free guidance (Ho & Salimans 2022)."""

from torch import Tensor


def guide(conditional: Tensor, null: Tensor, scale: float) -> Tensor:
    """null + scale · (conditional - null); scale 1 is plain conditional. For eps and for label logits alike."""
    return null + scale * (conditional - null)
