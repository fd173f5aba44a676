"""The evaluator of classes and places: HRNet's details, answers without void, void filled, training, opening."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from conftest import card_beside
from torch import nn

from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, Size
from gcbench.core.errors import UserError
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluators.hrnet import HRNet
from gcbench.evaluators.segmenter import Segmenter
from gcbench.evaluators.segmenter_interface import Loaded, Segmented, class_names, outputs_of, parse
from gcbench.evaluators.segmenter_training import SegmenterRecipe, fill_void, vary
from gcbench.evaluators.trained_segmenter import SegmenterConfig
from gcbench.training.recipe import Batch

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
    """Random weights, with the batch statistics of a random image so that signals stay of order 1."""
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
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    before = net(image).logits
    try:
        for layer in fuse:
            layer.mode, layer.align_corners = "nearest", None
        assert (net(image).logits - before).abs().max() > 1e-2
    finally:
        for layer in fuse:
            layer.mode, layer.align_corners = "bilinear", False
    assert torch.equal(net(image).logits, before)


@torch.inference_mode()
def test_at_multiples_of_32_it_is_timms_network_with_bilinear_fuse_layers(net: HRNet) -> None:
    theirs = timm.create_model(ARCH, features_only=True, feature_location="", out_indices=(1, 2, 3, 4)).eval()
    theirs.load_state_dict(net.backbone.state_dict())
    for layer in theirs.modules():
        if isinstance(layer, nn.Upsample):
            layer.mode, layer.align_corners = "bilinear", False
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(2))
    for mine, other in zip(net.backbone(image), theirs(image), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("size", [(40, 70), (33, 64), (17, 20), (5, 3)])
@torch.inference_mode()
def test_any_size_is_labelled_at_its_own(net: HRNet, size: tuple[int, int]) -> None:
    """Branches of ceil(side / 4), / 8, / 16 and / 32; logits at the image's size. Values: test_hrnet_parity.py."""
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(2))
    sizes = [tuple(-(-side // stride) for side in size) for stride in (4, 8, 16, 32)]
    assert [tuple(branch.shape[-2:]) for branch in net.backbone(image)] == sizes
    assert net(image).logits.shape == (1, 2, *size)


@torch.inference_mode()
def test_scale_is_an_enlargement_before_the_network(net: HRNet) -> None:
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    larger = F.interpolate(image, (64, 64), mode="bilinear", align_corners=False)
    expected = F.interpolate(net(larger).logits, (32, 32), mode="bilinear", align_corners=False)
    try:
        net.scale = 2.0
        found = net(image).logits
    finally:
        net.scale = 1.0
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_pooled_features_are_the_four_branches_of_the_backbone(net: HRNet) -> None:
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(4))
    pooled = net(image).pooled
    assert pooled.shape == (2, sum(net.backbone.feature_info.channels()))
    finest = net.backbone((image - net.mean) / net.std)[0]
    torch.testing.assert_close(pooled[:, : finest.shape[1]], finest.mean((2, 3)), atol=1e-4, rtol=1e-4)


# ------------------------------------------------------------------------------------------------ answers


def test_answers_are_class_ids_and_never_void(net: HRNet) -> None:
    """Outputs 0 and 1 stand for classes 0 and 2; answers have the images' own size; chunks change nothing."""
    evaluator = Segmenter(Loaded(net, (0, 2), 1.0, "toy"), "cpu")
    images = torch.randint(256, (3, 3, 40, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    found = evaluator(images)
    assert found.labels is not None
    assert found.vectors is not None
    assert found.labels.shape == (3, 40, 48)
    assert found.labels.dtype == torch.int64
    assert set(found.labels.unique().tolist()) == {0, 2}
    with torch.inference_mode():
        logits = net(images.float() / 255).logits
    assert torch.equal(found.labels, torch.where(logits[:, 1] > logits[:, 0], 2, 0))
    one_by_one = [evaluator(images[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(torch.cat([f.vectors for f in one_by_one]), found.vectors, atol=1e-4, rtol=1e-4)


class Counting(nn.Module):
    """Answers nothing but class 0, without pooled features, and notes how many images came together."""

    def __init__(self) -> None:
        super().__init__()
        self.came: list[int] = []

    def forward(self, images: torch.Tensor) -> Segmented:
        self.came.append(len(images))
        return Segmented(torch.zeros(len(images), 2, *images.shape[-2:]), None)


@pytest.mark.parametrize(
    ("size", "scale", "came"), [((64, 128), 2.0, [16, 4]), ((256, 512), 1.0, [8, 8, 4]), ((256, 512), 4.0, [1] * 20)]
)
def test_images_go_together_as_far_as_memory_bears(size: Size, scale: float, came: list[int]) -> None:
    network = Counting()
    found = Segmenter(Loaded(network, (0, 2), scale, "toy"), "cpu")(torch.zeros(20, 3, *size, dtype=torch.uint8))
    assert network.came == came
    assert found.vectors is None
    assert found.labels is not None
    assert found.labels.shape == (20, *size)


# ------------------------------------------------------------------------------------------------ asking


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (None, (None, None, None)),
        ("hrnet_w48", ("hrnet_w48", None, None)),
        ("hrnet_w48:x2@a/b.pth", ("hrnet_w48", 2.0, "a/b.pth")),
        ("hrnet_w48:x0.5", ("hrnet_w48", 0.5, None)),
        ("@streets", (None, None, "streets")),
        (
            "mmseg:fcn_hr18_4xb2-40k_cityscapes-512x1024@f.pth",
            ("mmseg:fcn_hr18_4xb2-40k_cityscapes-512x1024", None, "f.pth"),
        ),
        ("mmseg:xception.py:x4@f.pth", ("mmseg:xception.py", 4.0, "f.pth")),
    ],
)
def test_how_a_segmenter_is_asked_for(spec: str | None, expected: tuple[str | None, float | None, str | None]) -> None:
    assert parse(spec) == (*expected, "fp32")
    name, at, where = (spec or "").partition("@")
    assert parse(f"{name}:fp64{at}{where}") == (*expected, "fp64")


@pytest.mark.parametrize("scale", ["0", "-1", "100", "1.2.3", "e"])
def test_a_scale_that_is_none(scale: str) -> None:
    with pytest.raises(UserError, match=f"x{scale} is no input scale; write for example hrnet_w48:x2"):
        parse(f"hrnet_w48:x{scale}@f.pth")


def test_outputs_are_matched_by_name() -> None:
    assert outputs_of(("Sky", "road"), Toy(), "it") == (2, 0)
    for names, first in [(("sky", "wall"), "wall"), (("sky",), "road"), (("sky", "road", "void"), "void")]:
        with pytest.raises(UserError, match=f"labels {len(names)} classes that are not the 2 of toy.*{first!r}"):
            outputs_of(names, Toy(), "it")
    with pytest.raises(UserError, match="labels 3 classes that are not the 2 of toy;"):
        outputs_of(("sky", "road", "road"), Toy(), "it")


def test_classes_that_a_file_names() -> None:
    assert class_names({"meta": {"CLASSES": ["a", "b"]}}) == ("a", "b")
    assert class_names({"meta": {"dataset_meta": {"classes": ("a", "b"), "palette": None}}}) == ("a", "b")
    for content in ({}, {"meta": None}, {"meta": {}}, {"meta": {"CLASSES": None, "dataset_meta": {}}}):
        assert class_names(content) is None


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


def test_variations_are_mild_seeded_and_by_image() -> None:
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.3
    once, again = (vary(images, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(once, again)
    assert not torch.equal(once, vary(images, torch.Generator().manual_seed(2)))
    assert once.min() >= 0
    assert once.max() <= 1
    assert (once - images).flatten(1).abs().mean(1).max() < 0.3
    assert len({round(float(shift), 4) for shift in (once - images).flatten(1).mean(1)}) == 6


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


def test_an_image_of_void_alone_is_left_out_of_the_loss() -> None:
    """Its pixels have no target; beside a labelled image the loss is that image's own."""
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
    evaluator = Segmenter.open(Toy(), spec=f"@{saved}")
    direct = Segmenter(Loaded(net, (0, 2), 1.0, "toy"), "cpu")
    found, expected = evaluator(images), direct(images)
    assert found.labels is not None
    assert expected.labels is not None
    assert torch.equal(found.labels, expected.labels)
    assert evaluator.id.startswith(f"{ARCH}@toy#{checkpoint.read_card(saved).sha256}")


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
        ("@nowhere/model.safetensors", "nowhere/model.safetensors does not exist; give a file of weights"),
        ("hrnet_w18_small:x3@{path}", "was trained at an input scale of its own; leave out :x3"),
    ],
)
def test_what_cannot_be_opened(saved: Path, spec: str | None, match: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GCBENCH_WEIGHTS", raising=False)
    with pytest.raises(UserError, match=match):
        Segmenter.open(Toy(), spec=spec and spec.format(path=saved))


def test_a_checkpoint_without_its_card(saved: Path) -> None:
    card_beside(saved).unlink()
    with pytest.raises(UserError, match=r"model\.json is missing"):
        Segmenter.open(Toy(), spec=f"@{saved}")


def test_other_classes_and_damage(saved: Path) -> None:
    with pytest.raises(UserError, match="'sky' where 'wall' is expected"):
        Segmenter.open(Other(), spec=f"@{saved}")
    saved.write_bytes(saved.read_bytes()[:-10])
    with pytest.raises(UserError, match="truncated"):
        Segmenter.open(Toy(), spec=f"@{saved}")


def test_double_precision() -> None:
    """`:fp64` is the same network in double precision: hardly other features, another id."""
    single = Segmenter.open(open_dataset("streets"))
    double = Segmenter.open(open_dataset("streets"), spec="hrnet_w18_small:fp64@streets")
    images = torch.randint(256, (2, 3, 32, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    one, other = single(images), double(images)
    assert next(double.network.parameters()).dtype == torch.float64
    assert one.vectors is not None
    assert other.vectors is not None
    torch.testing.assert_close(one.vectors, other.vectors, atol=1e-4, rtol=1e-4)
    assert not torch.equal(one.vectors, other.vectors)
    assert single.id.removesuffix("fp32") == double.id.removesuffix("fp64")
