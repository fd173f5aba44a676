"""Resize filters against the programs they are named after: torch-fidelity's TF1 grid, and PIL."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from gcbench.evaluators.resize_filters import clean_bicubic, pil_resize, tf1_bilinear

SIZES = [(64, 128), (256, 200), (37, 501), (299, 299), (400, 610), (1, 1)]


def images(size: tuple[int, int]) -> torch.Tensor:
    """uint8 [2,3,H,W]: noise with full contrast, and soft shapes."""
    rng = np.random.default_rng(0)
    noise = rng.integers(256, size=(*size, 3), dtype=np.uint8)
    soft = gaussian_filter(rng.standard_normal((*size, 3)), (4, 4, 0))
    soft = (255 * (soft - soft.min()) / (np.ptp(soft) + 1e-9)).astype(np.uint8)
    return torch.from_numpy(np.stack([noise, soft])).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize("size", SIZES)
def test_tf1_is_torch_fidelitys_to_within_rounding(size: tuple[int, int]) -> None:
    """Kept mutant: torch's own bilinear, the same but for half a pixel, is far off."""
    given = images(size)
    expected = interpolate_bilinear_2d_like_tensorflow1x(given.float(), (299, 299), align_corners=False)
    torch.testing.assert_close(tf1_bilinear(given, (299, 299)), expected, atol=1e-4, rtol=0)
    if size not in ((299, 299), (1, 1)):
        mutant = F.interpolate(given.float(), (299, 299), mode="bilinear", align_corners=False)
        assert (mutant - expected).abs().max() > 10


@pytest.mark.parametrize("size", SIZES)
def test_clean_is_pils_bicubic_in_float(size: tuple[int, int]) -> None:
    """Kept mutant: without antialias, shrunk images are far off; unclipped, noise leaves 0..255."""
    given = images(size)
    expected = np.stack([[_pil_float(channel) for channel in image] for image in given.numpy()])
    found = clean_bicubic(given, (299, 299)).numpy()
    assert np.abs(found - expected).max() < 1e-2
    assert np.abs(found - expected).mean() < 5e-4
    if size == (400, 610):
        mutant = F.interpolate(given.float(), (299, 299), mode="bicubic").clamp(0, 255).numpy()
        assert np.abs(mutant - expected).max() > 10
    if size == (64, 128):
        unclipped = F.interpolate(given.float(), (299, 299), mode="bicubic", antialias=True)
        assert unclipped.min() < 0
        assert unclipped.max() > 255


def _pil_float(channel: np.ndarray) -> np.ndarray:
    resized = Image.fromarray(channel.astype(np.float32)).resize((299, 299), Image.Resampling.BICUBIC)
    return np.asarray(resized).clip(0, 255)


@pytest.mark.parametrize("size", SIZES)
def test_8_bit_bicubic_is_pils(size: tuple[int, int]) -> None:
    """Whole numbers, equal in 995 of 1000 places; in the others PIL's fixed-point sum is beyond a half."""
    given = images(size)
    wanted = (336, 250)
    expected = np.stack(
        [
            np.asarray(Image.fromarray(p).resize((wanted[1], wanted[0]), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
            for p in given.permute(0, 2, 3, 1).numpy()
        ]
    ).astype(np.float32)
    gap = np.abs(pil_resize(given, wanted).numpy() - expected)
    assert gap.max() <= 2  # a row off by one, seen through two coefficients
    assert (gap > 0).mean() < 5e-3
