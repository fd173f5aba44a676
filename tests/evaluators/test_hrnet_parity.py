"""HRNet with official weights against mmsegmentation's own network: random weights saved in its format by itself.

mmsegmentation gets 8-bit BGR images and normalises them itself. Every layer is calibrated on random images, so that
signals stay of order 1 and a difference in any of them shows in the logits.
They do agree bit for bit: that labels are equal to the last pixel does not hang on rounding.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

mmseg = pytest.importorskip("mmseg", reason="mmsegmentation is not installed; pip install 'gcbench[parity]'")

from mmengine.config import Config  # noqa: E402
from mmengine.model import revert_sync_batchnorm  # noqa: E402
from mmseg.registry import MODELS  # noqa: E402
from mmseg.utils import register_all_modules  # noqa: E402

from gcbench.data.open_dataset import open_dataset  # noqa: E402
from gcbench.evaluators.segmenter import Segmenter  # noqa: E402

CONFIGS = Path(mmseg.__file__).parent / ".mim" / "configs" / "hrnet"
W48 = "fcn_hr48_4xb2-160k_cityscapes-512x1024"
SMALL = "fcn_hr18s_4xb2-160k_cityscapes-512x1024"  # timm's hrnet_w18_small_v2
ODD = (200, 333)


class Pair(NamedTuple):
    """theirs: mmsegmentation's network; ours: the evaluator that its saved file makes; path: of that file."""

    theirs: Any
    ours: Segmenter
    path: Path


def pair(config: str, arch: str, folder: Path) -> Pair:
    register_all_modules()
    cfg = Config.fromfile(CONFIGS / f"{config}.py")
    cfg.model.pretrained = None
    theirs = revert_sync_batchnorm(MODELS.build(cfg.model))
    torch.manual_seed(0)
    with torch.no_grad():
        for module in theirs.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = 1.0
                module.weight.uniform_(0.3, 1.0)
                module.bias.normal_(0, 0.2)
        some = torch.cat([image((64, 128), seed) for seed in (1, 2)])
        inputs = theirs.data_preprocessor({"inputs": list(some.flip(1)), "data_samples": None})["inputs"]
        theirs.train()._forward(inputs)
        theirs.decode_head.conv_seg.bias.sub_(theirs.eval()._forward(inputs).mean((0, 2, 3)))
    path = folder / f"{config}.pth"
    meta = {"CLASSES": tuple(mmseg.datasets.CityscapesDataset.METAINFO["classes"]), "mmseg_version": "0.5.0"}
    torch.save({"meta": meta, "state_dict": theirs.state_dict()}, path)
    return Pair(theirs, Segmenter.open(open_dataset("streets"), spec=f"{arch}@{path}"), path)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair(SMALL, "hrnet_w18_small_v2", tmp_path_factory.mktemp("small"))


def image(size: tuple[int, int], seed: int = 0) -> Tensor:
    """Smooth random colours, uint8 [1,3,H,W]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 8, 13, generator=generator) * 255
    fine = torch.randn(1, 3, *size, generator=generator) * 8
    return (F.interpolate(coarse, size, mode="bicubic") + fine).clamp(0, 255).to(torch.uint8)


@torch.inference_mode()
def answer(theirs: Any, images: Tensor) -> Tensor:
    """mmsegmentation's logits [B,19,H,W] of RGB images."""
    size = tuple(images.shape[-2:])
    inputs = theirs.data_preprocessor({"inputs": list(images.flip(1)), "data_samples": None})["inputs"]
    about = {"ori_shape": size, "img_shape": size, "pad_shape": size}
    return theirs.inference(inputs, [dict(about) for _ in images])


@torch.inference_mode()
def logits(ours: Segmenter, images: Tensor) -> Tensor:
    return ours.network(images.float() / 255).logits


def relative(found: Tensor, expected: Tensor) -> float:
    """The largest difference, in standard deviations of the expected logits."""
    return float((found - expected).abs().max() / expected.std())


def agrees(two: Pair, images: Tensor) -> None:
    expected = answer(two.theirs, images)
    assert relative(logits(two.ours, images), expected) < 1e-4
    assert len(expected.argmax(1).unique()) > 4
    labels = two.ours(images).labels
    assert labels is not None
    assert torch.equal(labels, expected.argmax(1))  # `streets` has Cityscapes' order


@pytest.fixture
def fuse(small: Pair) -> Iterator[list[nn.Upsample]]:
    """The upsampling layers of our fuse layers, put right again after the test."""
    layers = [layer for layer in small.ours.network.modules() if isinstance(layer, nn.Upsample)]
    before = [(layer.mode, layer.align_corners, layer.scale_factor) for layer in layers]
    yield layers
    for layer, (mode, align_corners, factor) in zip(layers, before, strict=True):
        layer.mode, layer.align_corners, layer.scale_factor = mode, align_corners, factor


def nearest(layer: nn.Upsample) -> None:
    layer.mode, layer.align_corners = "nearest", None


def corners(layer: nn.Upsample) -> None:
    layer.align_corners = True


def at_once(layer: nn.Upsample) -> None:
    """Straight to the size of the branch, as the authors' code does."""
    layer.scale_factor = 1.0


def test_w48_at_the_papers_size_and_at_an_odd_one(tmp_path: Path) -> None:
    two = pair(W48, "hrnet_w48", tmp_path)
    assert sum(p.numel() for p in two.ours.network.parameters()) == sum(p.numel() for p in two.theirs.parameters())
    agrees(two, image((256, 512)))
    agrees(two, image(ODD))


@pytest.mark.parametrize("size", [(64, 128), ODD, (97, 61), (33, 40)])
def test_small_at_any_size(small: Pair, size: tuple[int, int]) -> None:
    agrees(small, image(size))


@pytest.mark.parametrize(
    ("size", "spring"), [((64, 128), nearest), (ODD, nearest), ((64, 128), corners), (ODD, at_once)]
)
def test_a_sprung_trap_shows(
    small: Pair, fuse: list[nn.Upsample], size: tuple[int, int], spring: Callable[[nn.Upsample], None]
) -> None:
    """timm's own nearest upsampling loads official weights without a word; other mutants beside it."""
    images = image(size)
    expected = answer(small.theirs, images)
    for layer in fuse:
        spring(layer)
    found = logits(small.ours, images)
    assert relative(found, expected) > 1e-2
    assert not torch.equal(found.argmax(1), expected.argmax(1))


def test_enlarged_images_are_evaluated_enlarged(small: Pair) -> None:
    """Scale 2: mmsegmentation on the enlarged image, its logits brought back to the image's size."""
    images = image((50, 70))
    two = Segmenter.open(open_dataset("streets"), spec=f"hrnet_w18_small_v2:x2@{small.path}")
    with torch.inference_mode():
        large = F.interpolate(images.float(), scale_factor=2, mode="bilinear", align_corners=False)
        expected = F.interpolate(answer(small.theirs, large), (50, 70), mode="bilinear", align_corners=False)
    assert relative(logits(two, images), expected) < 1e-4


def test_both_formats_load_to_the_same_evaluator(small: Pair, tmp_path: Path) -> None:
    """The authors' names for the same tensors, as their code reads them: `model.`, and the head as `last_layer`."""
    names = {
        "backbone.": "model.",
        "decode_head.convs.0.conv.": "model.last_layer.0.",
        "decode_head.convs.0.bn.": "model.last_layer.1.",
        "decode_head.conv_seg.": "model.last_layer.3.",
    }
    state = {}
    for name, tensor in small.theirs.state_dict().items():
        (beginning,) = (old for old in names if name.startswith(old))
        state[names[beginning] + name.removeprefix(beginning)] = tensor
    images = image((64, 128))
    bias = torch.linspace(-1, 1, len(state["model.last_layer.1.running_mean"]))
    state["model.last_layer.0.bias"] = bias
    state["model.last_layer.1.running_mean"] = state["model.last_layer.1.running_mean"] + bias
    for content in (state, {"state_dict": state}):
        torch.save(content, tmp_path / "authors.pth")
        ours = Segmenter.open(open_dataset("streets"), spec=f"hrnet_w18_small_v2@{tmp_path / 'authors.pth'}")
        expected, found = answer(small.theirs, images), logits(ours, images)
        assert relative(found, expected) < 1e-4
        assert (
            found.argmax(1) == expected.argmax(1)
        ).float().mean() > 0.999  # images normalised at 0 to 1 round differently


def test_any_model_of_mmsegmentation_is_the_same_network_again(small: Pair) -> None:
    """`mmseg:CONFIG` on the same file: bit for bit mmsegmentation's, and close to ours in its pooled features."""
    dataset = open_dataset("streets")
    evaluator = Segmenter.open(dataset, spec=f"mmseg:{SMALL}@{small.path}")
    for size in ((64, 128), ODD):
        images = image(size)
        assert torch.equal(logits(evaluator, images), answer(small.theirs, images))
    mine, other = small.ours(image((64, 128))).vectors, evaluator(image((64, 128))).vectors
    assert mine is not None
    assert other is not None
    torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)
