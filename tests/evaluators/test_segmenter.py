"""The judge of classes and places: HRNet's details, answers without void, void filled, training, opening."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, Size
from gcbench.core.errors import UserError
from gcbench.core.recipe import Batch
from gcbench.evaluators.hrnet import HRNet
from gcbench.evaluators.segmenter import Segmenter, SegmenterConfig
from gcbench.evaluators.segmenter_training import SegmenterRecipe, fill_void, vary

ARCH = "hrnet_w18_small"


class Toy(Dataset):
    """Void stands in the middle of the classes, so that outputs and class ids differ."""

    name = "toy"
    classes = ("road", "void", "sky")
    palette = ((0, 0, 0), (9, 9, 9), (0, 0, 255))
    void = 1
    size = (32, 32)
    splits = ("train", "val")
    aliases = {name: (name,) for name in ("road", "sky")}  # noqa: RUF012
    resize = "none"
    version = "1"

    @classmethod
    def open(cls) -> "Toy":
        return cls()

    def ids(self, split: str) -> Sequence[str]:
        return ["0", "1"]

    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        layout = np.zeros(size, np.uint8)
        layout[: size[0] // 2] = 2
        layout[0, 0] = 1
        return np.repeat(layout[..., None] * 120, 3, axis=2), layout

    def captions(self, split: str, index: int) -> Sequence[str]:
        return ["a road"]


class Other(Toy):
    name = "other"
    classes = ("road", "void", "wall")


def hrnet(classes: int = 2, scale: float = 1.0) -> HRNet:
    """Random weights, with the batch statistics of a random picture so that signals stay of order 1."""
    torch.manual_seed(0)
    net = HRNet(ARCH, classes, scale)
    with torch.no_grad():
        net.train()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
                module.weight.fill_(1.0)
        net(torch.rand(2, 3, 64, 64))
    return net.eval()


@pytest.fixture(scope="module")
def net() -> HRNet:
    return hrnet()


# ------------------------------------------------------------------------------------------------ network


@torch.inference_mode()
def test_fuse_layers_are_bilinear(net: HRNet) -> None:
    """timm's own nearest upsampling, put back as a mutant, gives other logits."""
    fuse = [layer for layer in net.backbone.modules() if isinstance(layer, nn.Upsample)]
    assert fuse
    assert {layer.mode for layer in fuse} == {"bilinear"}
    assert {layer.align_corners for layer in fuse} == {False}
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    before = net(picture).logits
    try:
        for layer in fuse:
            layer.mode, layer.align_corners = "nearest", None
        assert (net(picture).logits - before).abs().max() > 1e-2
    finally:
        for layer in fuse:
            layer.mode, layer.align_corners = "bilinear", False
    assert torch.equal(net(picture).logits, before)


@pytest.mark.parametrize("size", [(40, 70), (33, 64), (17, 20)])
@torch.inference_mode()
def test_any_size_equals_padding_by_hand(net: HRNet, size: tuple[int, int]) -> None:
    """Padded by its edge at the right and bottom to multiples of 32, the answer cut back."""
    picture = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(2))
    h, w = (-(-side // 32) * 32 for side in size)
    padded = picture[:, :, torch.arange(h).clamp(max=size[0] - 1)][..., torch.arange(w).clamp(max=size[1] - 1)]
    found, expected = net(picture), net(padded)
    assert found.logits.shape == (1, 2, *size)
    torch.testing.assert_close(found.logits, expected.logits[..., : size[0], : size[1]], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.pooled, expected.pooled, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_scale_is_an_enlargement_before_the_network(net: HRNet) -> None:
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    larger = F.interpolate(picture, (64, 64), mode="bilinear", align_corners=False)
    expected = F.interpolate(net(larger).logits, (32, 32), mode="bilinear", align_corners=False)
    try:
        net.scale = 2.0
        found = net(picture).logits
    finally:
        net.scale = 1.0
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_pooled_features_are_the_four_branches_of_the_backbone(net: HRNet) -> None:
    picture = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(4))
    pooled = net(picture).pooled
    assert pooled.shape == (2, sum(net.backbone.feature_info.channels()))
    finest = net.backbone((picture - net.mean) / net.std)[0]
    torch.testing.assert_close(pooled[:, : finest.shape[1]], finest.mean((2, 3)), atol=1e-4, rtol=1e-4)


# ------------------------------------------------------------------------------------------------ answers


def test_answers_are_class_ids_and_never_void(net: HRNet) -> None:
    """Outputs 0 and 1 stand for classes 0 and 2; answers have the pictures' own size; chunks change nothing."""
    judge = Segmenter(net, SegmenterConfig(arch=ARCH, scale=1.0, labels=(0, 2)), "toy", "cpu")
    images = torch.randint(256, (3, 3, 40, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    found = judge(images)
    assert found.labels is not None
    assert found.vectors is not None
    assert found.labels.shape == (3, 40, 48)
    assert found.labels.dtype == torch.int64
    assert set(found.labels.unique().tolist()) == {0, 2}
    with torch.inference_mode():
        logits = net(images.float() / 255).logits
    assert torch.equal(found.labels, torch.where(logits[:, 1] > logits[:, 0], 2, 0))
    one_by_one = [judge(images[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(torch.cat([f.vectors for f in one_by_one]), found.vectors, atol=1e-4, rtol=1e-4)


# ------------------------------------------------------------------------------------------------ training


def test_void_takes_the_class_of_a_nearest_pixel() -> None:
    """Brute force over all labelled pixels; where several are nearest, any of them will do."""
    rng = np.random.default_rng(0)
    layouts = rng.choice([0, 1, 2], (3, 9, 11), p=[0.1, 0.8, 0.1])
    filled = fill_void(torch.from_numpy(layouts), 1).numpy()
    assert (filled != 1).all()
    for layout, out in zip(layouts, filled, strict=True):
        known = np.argwhere(layout != 1)
        for place in np.ndindex(layout.shape):
            if layout[place] != 1:
                assert out[place] == layout[place]
                continue
            distances = ((known - np.array(place)) ** 2).sum(1)
            nearest = {layout[tuple(k)] for k in known[distances == distances.min()]}
            assert out[place] in nearest


def test_layouts_without_void_or_of_nothing_else_stay() -> None:
    layouts = torch.tensor([[[0, 2], [2, 0]], [[1, 1], [1, 1]]])
    assert torch.equal(fill_void(layouts, 1), layouts)
    assert torch.equal(fill_void(layouts, None), layouts)


def test_variations_are_mild_seeded_and_by_picture() -> None:
    pictures = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.3
    once, again = (vary(pictures, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(once, again)
    assert not torch.equal(once, vary(pictures, torch.Generator().manual_seed(2)))
    assert once.min() >= 0
    assert once.max() <= 1
    assert (once - pictures).flatten(1).abs().mean(1).max() < 0.3
    assert len({round(float(shift), 4) for shift in (once - pictures).flatten(1).mean(1)}) == 6


def recipe(**train: Any) -> SegmenterRecipe:
    settings = {"network.scale": 1.0, **{f"train.{key}": value for key, value in train.items()}}
    return SegmenterRecipe.build(Toy(), settings)


def test_recipe_learns_in_a_few_steps(tmp_path: Path) -> None:
    found = recipe()
    assert found.cfg.labels == (0, 2)
    image, layout = Toy().pair("train", 0, (32, 32))
    images = torch.from_numpy(image).permute(2, 0, 1).repeat(2, 1, 1, 1)
    batch = Batch(images, torch.from_numpy(layout).long().repeat(2, 1, 1), ["", ""])
    optimizer = torch.optim.AdamW(found.parameters(), lr=3e-3)
    losses = []
    for step in range(10):
        values = found(batch, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        values["loss"].backward()
        optimizer.step()
        losses.append(values["loss"].item())
    assert losses[-1] < 0.5 * losses[0]
    found.eval()
    found.preview(tmp_path / "preview.png")
    assert (tmp_path / "preview.png").stat().st_size > 0


def test_a_picture_of_void_alone_is_left_out_of_the_loss() -> None:
    """Its pixels have no target; beside a labelled picture the loss is that picture's own."""
    found = recipe().eval()
    with torch.no_grad():
        images = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        layouts = torch.zeros(2, 32, 32, dtype=torch.int64)
        layouts[1] = 1
        both = found(Batch(images, layouts, ["", ""]), torch.Generator().manual_seed(0))
        layouts[1] = 2
        other = found(Batch(images, layouts, ["", ""]), torch.Generator().manual_seed(0))
    assert both["loss"].isfinite()
    assert both["loss"] != other["loss"]


# ------------------------------------------------------------------------------------------------ opening


@pytest.fixture
def saved(tmp_path: Path, net: HRNet) -> Path:
    cfg = SegmenterConfig(arch=ARCH, scale=1.0, labels=(0, 2))
    card = checkpoint.Card(
        kind="evaluator", name="segmenter", classes=Toy.classes, dataset="toy", config=cfg.model_dump(mode="json")
    )
    path = tmp_path / "segmenter" / "toy" / "model.safetensors"
    checkpoint.save(path, net.state_dict(), card)
    return path


def test_saved_and_opened_it_answers_the_same(saved: Path, net: HRNet) -> None:
    images = torch.randint(256, (1, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(6))
    judge = Segmenter.open(Toy(), spec=f"@{saved}")
    direct = Segmenter(net, SegmenterConfig(arch=ARCH, scale=1.0, labels=(0, 2)), "toy", "cpu")
    found, expected = judge(images), direct(images)
    assert found.labels is not None
    assert expected.labels is not None
    assert torch.equal(found.labels, expected.labels)
    assert judge.id.startswith(f"{ARCH}@toy#{checkpoint.read_card(saved).sha256}")


def test_found_by_the_name_of_a_dataset(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCBENCH_WEIGHTS", str(saved.parents[2]))
    for spec in (None, ARCH, "@toy", f"{ARCH}@toy"):
        assert "@toy#" in Segmenter.open(Toy(), spec=spec).id


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("@nowhere", "no segmenter is trained for 'nowhere'.*gcbench train --evaluator segmenter"),
        (None, "no segmenter is trained for 'toy'"),
        ("hrnet_w48@{path}", "holds hrnet_w18_small, not hrnet_w48"),
    ],
)
def test_what_cannot_be_opened(saved: Path, spec: str | None, match: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GCBENCH_WEIGHTS", raising=False)
    with pytest.raises(UserError, match=match):
        Segmenter.open(Toy(), spec=spec and spec.format(path=saved))


def test_other_classes_and_damage(saved: Path) -> None:
    with pytest.raises(UserError, match="'sky' where 'wall' is expected"):
        Segmenter.open(Other(), spec=f"@{saved}")
    saved.write_bytes(saved.read_bytes()[:-10])
    with pytest.raises(UserError, match="truncated"):
        Segmenter.open(Toy(), spec=f"@{saved}")
