"""Official HRNet files of both formats: what they load to, how outputs become classes, and what is refused.

Random weights stand in for the published ones, at a small width; that they are read as mmsegmentation reads them is
shown in test_hrnet_parity.py.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gcbench.core.contracts import Dataset, Size
from gcbench.core.errors import UserError
from gcbench.data import cityscapes_classes
from gcbench.evaluators import hrnet_official
from gcbench.evaluators.hrnet import HRNet
from gcbench.evaluators.segmenter import Segmenter

ARCH = "hrnet_w18_small"
CITYSCAPES = cityscapes_classes.CLASSES[:19]


class Scenes(Dataset):
    """Cityscapes' classes by any name and in any order."""

    palette = ((0, 0, 0),) * 20
    size = (32, 64)
    splits = ("train", "val")
    aliases = {name: (name,) for name in CITYSCAPES}  # noqa: RUF012
    resize = "none"
    version = "1"

    def __init__(
        self,
        name: str = "scenes",
        classes: Sequence[str] = cityscapes_classes.CLASSES,
        void: int | None = cityscapes_classes.VOID,
    ):
        self.name, self.classes, self.void = name, tuple(classes), void

    @classmethod
    def open(cls) -> "Scenes":
        return cls()

    def ids(self, split: str) -> Sequence[str]:
        return []

    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def captions(self, split: str, index: int) -> Sequence[str]:
        return []


def as_mmseg(network: HRNet) -> dict[str, Tensor]:
    names = {
        "head.0.": "decode_head.convs.0.conv.",
        "head.1.": "decode_head.convs.0.bn.",
        "head.3.": "decode_head.conv_seg.",
    }
    return {names.get(name[:7], name[:7]) + name[7:]: tensor for name, tensor in network.state_dict().items()}


def as_authors(network: HRNet, bias: Tensor) -> dict[str, Tensor]:
    """Their first convolution of the head has a bias, which their batch normalisation has learnt to take off again."""
    state = {}
    for name, tensor in network.state_dict().items():
        place, _, rest = name.partition(".")
        state["model." + (f"last_layer.{rest}" if place == "head" else rest)] = tensor
    state["model.last_layer.0.bias"] = bias
    state["model.last_layer.1.running_mean"] = state["model.last_layer.1.running_mean"] + bias
    state["loss.criterion.weight"] = torch.ones(19)
    return state


@pytest.fixture(scope="module")
def network() -> HRNet:
    """Random weights, with the batch statistics of random images so that signals stay of order 1."""
    torch.manual_seed(0)
    net = HRNet(ARCH, 19)
    with torch.no_grad():
        net.head[3].weight.normal_()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
                module.weight.uniform_(0.5, 1.0)
                module.bias.normal_(0, 0.1)
        net.train()(torch.rand(4, 3, 64, 64))
        net.head[3].bias.sub_(net.eval()(torch.rand(4, 3, 64, 64)).logits.mean((0, 2, 3)))
    return net


@pytest.fixture(scope="module")
def images() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (2, 3, 40, 70), dtype=torch.uint8, generator=generator)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def write(content: Any, name: str = "official.pth") -> Path:
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return write


def evaluator(path: Path, dataset: Dataset | None = None, spec: str = ARCH) -> Segmenter:
    return Segmenter.open(dataset or Scenes(), spec=f"{spec}@{path}")


def labels(path: Path, images: Tensor, dataset: Dataset | None = None, spec: str = ARCH) -> Tensor:
    found = evaluator(path, dataset, spec)(images).labels
    assert found is not None
    return found


# ------------------------------------------------------------------------------------------------ formats


@torch.inference_mode()
def test_both_formats_answer_as_the_network_that_was_saved(
    network: HRNet, images: Tensor, save: Callable[..., Path]
) -> None:
    bias = torch.randn(len(network.state_dict()["head.1.running_mean"]), generator=torch.Generator().manual_seed(2))
    mine = as_authors(network, bias)
    old = {name: tensor for name, tensor in mine.items() if not name.endswith("num_batches_tracked")}
    mmseg = {"meta": {"CLASSES": CITYSCAPES, "epoch": 1}, "state_dict": as_mmseg(network)}
    theirs = [save(mmseg, "a.pth"), save(as_mmseg(network), "b.pt")]
    authors = [save({"state_dict": mine}, "c.pth"), save(old, "d.pth")]
    expected = network(images.float() / 255).logits
    assert len(expected.argmax(1).unique()) > 4
    for path in (*theirs, *authors):
        found = evaluator(path).network(images.float() / 255).logits
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
        assert (found.argmax(1) == expected.argmax(1)).float().mean() > 0.999
    exact = HRNet(ARCH, 19, white=255.0).eval()  # mmsegmentation normalises images at 0 to 255
    exact.load_state_dict(network.state_dict())
    for path in theirs:
        assert torch.equal(evaluator(path).network(images.float() / 255).logits, exact(images.float() / 255).logits)
    without = {**mine, "model.last_layer.0.bias": 0 * bias}
    assert (labels(save(without), images) == expected.argmax(1)).float().mean() < 0.99


@torch.inference_mode()
def test_outputs_become_the_datasets_classes_by_name(network: HRNet, images: Tensor, save: Callable[..., Path]) -> None:
    """Void first and the classes backwards in the dataset; the file's own order where it names one."""
    path = save({"state_dict": as_mmseg(network)})
    backwards = Scenes("backwards", ("void", *reversed(CITYSCAPES)), 0)
    direct = labels(path, images)
    assert torch.equal(labels(path, images, backwards), 19 - direct)
    assert torch.equal(labels(path, images, Scenes("plain", CITYSCAPES, None)), direct)
    rotated = CITYSCAPES[1:] + CITYSCAPES[:1]
    other = save({"meta": {"CLASSES": rotated}, "state_dict": as_mmseg(network)}, "rotated.pth")
    assert torch.equal(labels(other, images), (direct + 1) % 19)


def test_the_input_scale_is_asked_for_and_stands_in_the_id(
    network: HRNet, images: Tensor, save: Callable[..., Path]
) -> None:
    path = save(as_mmseg(network))
    one, two = evaluator(path), evaluator(path, spec=f"{ARCH}:x2")
    assert one.id.startswith(f"{ARCH}@cityscapes#")
    assert one.id.endswith(" ×1 fp32")
    assert two.id == one.id.replace("×1", "×2")
    assert (one.scale, two.scale) == (1.0, 2.0)
    expected = HRNet(ARCH, 19, scale=2.0, white=255.0).eval()
    expected.load_state_dict(network.state_dict())
    with torch.inference_mode():
        assert torch.equal(labels(path, images, spec=f"{ARCH}:x2"), expected(images.float() / 255).logits.argmax(1))


# ------------------------------------------------------------------------------------------------ refused


def faults(state: dict[str, Tensor]) -> dict[str, tuple[Any, str]]:
    """What may be wrong with an mmsegmentation file of this state dict -> content, what is said of it."""
    fewer = {k: v for k, v in state.items() if k != "backbone.stage4.0.branches.0.0.conv1.weight"}
    seven = {k: v[:7] if k.startswith("decode_head.conv_seg.") else v for k, v in state.items()}
    wider = {**state, "backbone.conv1.weight": torch.zeros(65, 3, 3, 3)}
    return {
        "a missing tensor": (
            fewer,
            "it lacks the tensor 'backbone.stage4.0.branches.0.0.conv1.weight'; give another file",
        ),
        "another tensor": ({**state, "auxiliary_head.x": torch.zeros(1)}, "it has 'auxiliary_head.x' beside them"),
        "another shape": (wider, "'backbone.conv1.weight' is 65×3×3×3 where 64×3×3×3 is expected"),
        "7 outputs": (seven, "answers 7 classes where Cityscapes has 19"),
        "7 named outputs": (
            {"meta": {"dataset_meta": {"classes": list("abcdefg")}}, "state_dict": seven},
            "trained for 7 other classes than Cityscapes' 19; give it as --evaluator segmenter=mmseg:CONFIG@FILE",
        ),
        "19 other classes": (
            {"meta": {"CLASSES": [*CITYSCAPES[:-1], "tractor"]}, "state_dict": state},
            "trained for 19 other classes",
        ),
        "another network": ({"layer4.0.conv1.weight": torch.zeros(1)}, "holds neither mmsegmentation's names"),
        "no weights": ({"state_dict": [1, 2]}, "holds neither mmsegmentation's names"),
        "no number": (
            {**state, "backbone.conv1.weight": torch.full((64, 3, 3, 3), torch.nan)},
            "'backbone.conv1.weight' has values that are not finite",
        ),
        "no tensor": ({**state, "backbone.conv1.weight": 3}, "it lacks the tensor 'backbone.conv1.weight'"),
    }


@pytest.mark.parametrize("fault", faults({}))
def test_a_file_that_does_not_fit(fault: str, network: HRNet, save: Callable[..., Path]) -> None:
    content, said = faults(as_mmseg(network))[fault]
    with pytest.raises(UserError) as caught:
        evaluator(save(content))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count("official.pth") >= 1


def test_the_authors_network_with_object_context_is_another(network: HRNet, save: Callable[..., Path]) -> None:
    state = as_authors(network, torch.zeros(len(network.state_dict()["head.1.running_mean"])))
    with pytest.raises(UserError, match=r"it has 'backbone\.ocr_distri_head\.x' beside them"):
        evaluator(save({**state, "model.ocr_distri_head.x": torch.zeros(1)}))


def test_another_width_a_name_that_is_none_and_a_dataset_of_other_classes(
    network: HRNet, save: Callable[..., Path]
) -> None:
    path = save(as_mmseg(network))
    with pytest.raises(
        UserError, match="does not hold weights of hrnet_w18_small_v2 with a fully convolutional head: "
    ):
        evaluator(path, spec="hrnet_w18_small_v2")
    with pytest.raises(UserError, match=r"unknown segmenter 'resnet50' for .*; choose hrnet_w18, .* or mmseg:CONFIG"):
        evaluator(path, spec="resnet50")
    rooms = Scenes("rooms", ("floor", "wall", "void"), 2)
    with pytest.raises(UserError, match=r"\(Cityscapes\) labels 19 classes that are not the 2 of rooms"):
        evaluator(path, rooms)
    with pytest.raises(UserError, match="labels 19 classes that are not the 2 of rooms"):
        Segmenter.open(rooms, spec="hrnet_w48")  # before any file is looked for


# ------------------------------------------------------------------------------------------------ published files


@pytest.fixture
def published(network: HRNet, save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Both manifest entries stand for a small file; the names that were looked for."""
    path, asked = save(as_mmseg(network)), []

    def locate(name: str) -> Path:
        asked.append(name)
        return path

    monkeypatch.setattr(hrnet_official, "locate", locate)
    return asked


def test_cityscapes_takes_the_published_network_unless_told_another(
    published: list[str], images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gcbench.evaluators.segmenter.ARCH", ARCH)
    found = Segmenter.open(Scenes("cityscapes"))
    assert found.id.startswith(f"{ARCH}@cityscapes#")
    assert Segmenter.open(Scenes(), spec=ARCH).id == found.id
    assert Segmenter.open(Scenes(), spec=f"{ARCH}:x2").id == found.id.replace("×1", "×2")
    assert Segmenter.open(Scenes(), spec="@hrnet-w48-cityscapes-hrnet").id == found.id
    assert published == ["hrnet-w48-cityscapes"] * 3 + ["hrnet-w48-cityscapes-hrnet"]


def test_a_trained_one_is_named_with_an_at(published: list[str]) -> None:
    """`streets` has a bundled evaluator; cityscapes may be evaluated by it if it is named."""
    found = Segmenter.open(Scenes("cityscapes"), spec="@streets")
    assert found.id.startswith("hrnet_w18_small@streets#")
    assert Segmenter.open(Scenes("streets")).id == found.id
    assert published == []


def test_where_the_published_file_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.delenv("GCBENCH_OFFLINE", raising=False)
    with pytest.raises(UserError) as caught:
        Segmenter.open(Scenes("cityscapes"))
    said = str(caught.value)
    assert (
        0 < said.index("gcbench weights fetch hrnet-w48-cityscapes") < said.index("gcbench train --evaluator segmenter")
    )
    with pytest.raises(UserError, match="gcbench weights fetch hrnet-w48-cityscapes-hrnet"):
        Segmenter.open(Scenes(), spec="hrnet_w48@hrnet-w48-cityscapes-hrnet")
    with pytest.raises(UserError, match=r"away/w48\.pth does not exist; give a file of weights"):
        Segmenter.open(Scenes(), spec="hrnet_w48@away/w48.pth")
