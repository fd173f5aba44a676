"""`segmenter=mmseg:CONFIG@FILE`: small models built from a config, against mmsegmentation's own inference."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcbench.core.contracts import Dataset, Size
from gcbench.core.errors import UserError
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluators.segmenter import Segmenter

ZOO = "fcn_hr18s_4xb2-40k_cityscapes-512x1024"

CONFIG = """
stage = dict(num_modules=1, block='BASIC')
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True,
        test_cfg={padding}),
    pretrained='https://example.org/not-to-be-fetched.pth',
    backbone=dict(
        type='HRNet',
        norm_cfg=dict(type='SyncBN'),
        extra=dict(
            stage1=dict(num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(1,), num_channels=(8,)),
            stage2=dict(num_branches=2, num_blocks=(1, 1), num_channels=(4, 8), **stage),
            stage3=dict(num_branches=3, num_blocks=(1, 1, 1), num_channels=(4, 8, 8), **stage),
            stage4=dict(num_branches=4, num_blocks=(1, 1, 1, 1), num_channels=(4, 8, 8, 8), **stage))),
    decode_head=dict(
        type='FCNHead', in_channels=[4, 8, 8, 8], in_index=(0, 1, 2, 3), channels=16, input_transform='resize_concat',
        kernel_size=1, num_convs=1, concat_input=False, dropout_ratio=0.1, num_classes={classes},
        init_cfg=dict(type='Pretrained', checkpoint='https://example.org/nor-this.pth'),
        norm_cfg=dict(type='SyncBN'), align_corners={align_corners}, loss_decode=dict(type='CrossEntropyLoss')),
    train_cfg=dict(),
    test_cfg={test_cfg})
"""


class Rooms(Dataset):
    """Two classes, void between them."""

    name = "rooms"
    classes = ("floor", "void", "wall")
    palette = ((0, 0, 0),) * 3
    void = 1
    size = (32, 32)
    splits = ("train", "val")
    aliases = {name: (name,) for name in ("floor", "wall")}  # noqa: RUF012
    resize = "none"
    version = "1"

    @classmethod
    def open(cls) -> "Rooms":
        return cls()

    def ids(self, split: str) -> Sequence[str]:
        return []

    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def captions(self, split: str, index: int) -> Sequence[str]:
        return []


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mmseg", None)
    with pytest.raises(UserError, match=r"needs mmsegmentation \(.*\); run pip install 'gcbench\[mmseg\]'"):
        Segmenter.open(Rooms(), spec="mmseg:anything@file.pth")


@pytest.fixture
def mmseg() -> Any:
    found = pytest.importorskip("mmseg", reason="mmsegmentation is not installed; pip install 'gcbench[parity]'")
    from mmseg.utils import register_all_modules

    register_all_modules()
    return found


@pytest.fixture
def make(mmseg: Any, tmp_path: Path) -> Any:
    """(config, its random weights, mmsegmentation's own model), of settings."""

    def build(
        name: str = "tiny",
        *,
        padding: Any = None,
        align_corners: bool = False,
        test_cfg: dict[str, Any] | None = None,
        meta: dict[str, Any] | None = None,
        classes: int = 2,
    ) -> tuple[Path, Path, Any]:
        from mmengine.config import Config
        from mmengine.model import revert_sync_batchnorm
        from mmseg.registry import MODELS

        config, weights = tmp_path / f"{name}.py", tmp_path / f"{name}.pth"
        text = CONFIG.format(
            padding=padding, classes=classes, align_corners=align_corners, test_cfg=test_cfg or {"mode": "whole"}
        )
        config.write_text(text)
        cfg = Config.fromfile(config)
        cfg.model.pretrained = None
        torch.manual_seed(0)
        model = revert_sync_batchnorm(MODELS.build(cfg.model))
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = 1.0  # statistics of the images, so that signals stay of order 1
        with torch.no_grad():
            model.train()._forward(some_images((64, 64)) / 64 - 2)
            means = model.eval()._forward(some_images((64, 64)) / 64 - 2).mean((0, 2, 3))
            model.decode_head.conv_seg.bias.sub_(means)
        content = {"meta": {"CLASSES": ("wall", "floor")} if meta is None else meta, "state_dict": model.state_dict()}
        torch.save(content, weights)
        return config, weights, model

    return build


def some_images(size: Size = (40, 70)) -> Tensor:
    return torch.randint(256, (2, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def predicted(model: Any, images: Tensor) -> Tensor:
    """mmsegmentation's own test step: logits [B,C,H,W] at the images' size, padding taken off by it."""
    from mmseg.structures import SegDataSample

    size = tuple(images.shape[-2:])
    samples = [SegDataSample(metainfo={"ori_shape": size, "img_shape": size, "pad_shape": size}) for _ in images]
    found = model.test_step({"inputs": list(images.flip(1)), "data_samples": samples})
    return torch.stack([one.seg_logits.data for one in found])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"align_corners": True},
        {"padding": {"size_divisor": 32}},
        {"test_cfg": {"mode": "slide", "crop_size": (32, 32), "stride": (20, 20)}},
    ],
    ids=["whole", "corners", "padded", "windows"],
)
def test_it_answers_as_mmsegmentation_does(make: Any, settings: dict[str, Any]) -> None:
    """Outputs named (wall, floor) are classes 2 and 0."""
    config, weights, model = make(**settings)
    evaluator = Segmenter.open(Rooms(), spec=f"mmseg:{config}@{weights}")
    images, expected = some_images(), predicted(model, some_images())
    with torch.inference_mode():
        torch.testing.assert_close(evaluator.network(images.float() / 255).logits, expected, atol=1e-6, rtol=1e-6)
    found = evaluator(images)
    assert found.labels is not None
    assert found.vectors is not None
    assert torch.equal(found.labels, torch.where(expected[:, 0] >= expected[:, 1], 2, 0))
    assert set(found.labels.unique().tolist()) == {0, 2}
    assert found.vectors.shape == (2, 28)
    alone = evaluator(images[1:]).vectors
    assert alone is not None
    torch.testing.assert_close(found.vectors[1:], alone, atol=1e-6, rtol=1e-5)


def test_pooled_features_are_the_maps_that_the_head_reads(make: Any) -> None:
    config, weights, model = make()
    with torch.inference_mode():
        inputs = model.data_preprocessor({"inputs": list(some_images().flip(1)), "data_samples": None})["inputs"]
        expected = torch.cat([x.mean((2, 3)) for x in model.extract_feat(inputs)], 1)
    found = Segmenter.open(Rooms(), spec=f"mmseg:{config}@{weights}")(some_images()).vectors
    assert found is not None
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_pooled_features_over_windows_are_their_mean(make: Any) -> None:
    """An image 52 wide in windows of 32 at 0 and 20: the mean of what the two crops give alone."""
    config, weights, _ = make(test_cfg={"mode": "slide", "crop_size": (32, 32), "stride": (20, 20)})
    evaluator, images = Segmenter.open(Rooms(), spec=f"mmseg:{config}@{weights}"), some_images((32, 52))
    found, left, right = (evaluator(part).vectors for part in (images, images[..., :32], images[..., 20:]))
    assert found is not None
    assert left is not None
    assert right is not None
    assert not torch.allclose(left, right, rtol=1e-2)
    torch.testing.assert_close(found, (left + right) / 2, atol=1e-6, rtol=1e-5)


def test_the_scale_enlarges_and_the_id_says_what_was_asked(make: Any) -> None:
    config, weights, model = make()
    plain, large = (Segmenter.open(Rooms(), spec=f"mmseg:{config}{scale}@{weights}") for scale in ("", ":x2"))
    assert plain.id.startswith("mmseg:tiny:")
    assert plain.id.endswith(" ×1 fp32")
    assert large.id == plain.id.replace("×1", "×2")
    images = some_images()
    twice = F.interpolate(images.float(), scale_factor=2, mode="bilinear", align_corners=False)
    expected = F.interpolate(predicted(model, twice), (40, 70), mode="bilinear", align_corners=False)
    with torch.inference_mode():
        torch.testing.assert_close(large.network(images.float() / 255).logits, expected, atol=1e-6, rtol=1e-6)
    again, windows, _ = make(test_cfg={"mode": "slide", "crop_size": (32, 32), "stride": (20, 20)})
    other = Segmenter.open(Rooms(), spec=f"mmseg:{again}@{windows}")
    assert other.id != plain.id  # the same weights by another config


def test_a_network_that_gives_tokens_has_no_pooled_features() -> None:
    """Then metrics on features are skipped; labels stand."""
    from gcbench.evaluators.mmseg_model import MMSegNetwork
    from gcbench.evaluators.segmenter_interface import Loaded

    class Tokens(nn.Module):
        with_neck = False
        align_corners = False

        def __init__(self) -> None:
            super().__init__()
            self.backbone = nn.Conv2d(3, 2, 1)
            self.decode_head = nn.Identity()
            self.decode_head.in_index = 0

        def data_preprocessor(self, data: dict[str, Any]) -> dict[str, Any]:
            return {"inputs": torch.stack(data["inputs"])}

        def inference(self, inputs: Tensor, metas: list[dict[str, Any]]) -> Tensor:
            maps = self.backbone(inputs)
            return maps

    model = Tokens()
    evaluator = Segmenter(Loaded(MMSegNetwork(model, 1.0), (0, 2), 1.0, "tokens"), "cpu")
    found = evaluator(some_images()).vectors
    assert found is not None
    assert found.shape == (2, 2)
    model.backbone.register_forward_hook(lambda module, inputs, output: output.flatten(2), prepend=True)
    model.inference = lambda inputs, metas: (model.backbone(inputs), torch.zeros(2, 2, 40, 70))[1]  # type: ignore[method-assign]
    found_tokens = evaluator(some_images())
    assert found_tokens.vectors is None
    assert found_tokens.labels is not None


# ------------------------------------------------------------------------------------------------ classes


def test_classes_of_the_configs_dataset_where_the_file_names_none(make: Any) -> None:
    config, weights, _ = make(meta={}, classes=19)
    with config.open("a") as stream:
        stream.write("dataset_type = 'CityscapesDataset'\n")
    streets = open_dataset("streets")
    assert Segmenter.open(streets, spec=f"mmseg:{config}@{weights}").labels.tolist() == list(range(19))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"meta": {}}, "names its classes; add dataset_meta"),
        ({"meta": {"dataset_meta": {"classes": ["wall", "roof"]}}}, "mmseg:tiny labels 2 classes .* 'roof'"),
        ({"meta": {"CLASSES": ["wall", "floor", "roof"]}}, "names 3 classes but answers 2"),
        (
            {"classes": 3, "meta": {"CLASSES": ["wall", "void", "floor"]}},
            "labels 3 classes that are not the 2 of rooms",
        ),
    ],
)
def test_classes_that_do_not_fit(make: Any, settings: dict[str, Any], match: str) -> None:
    config, weights, _ = make(**settings)
    with pytest.raises(UserError, match=match):
        Segmenter.open(Rooms(), spec=f"mmseg:{config}@{weights}")


# ------------------------------------------------------------------------------------------------ refused


def test_weights_of_another_model(make: Any) -> None:
    config, _, _ = make()
    _, other, _ = make("other", classes=5)
    with pytest.raises(
        UserError, match=r"other\.pth does not fit tiny: size mismatch for decode_head\.conv_seg"
    ) as caught:
        Segmenter.open(Rooms(), spec=f"mmseg:{config}@{other}")
    assert "\n" not in str(caught.value)


class Payload:
    """Unpickled without care, it makes a folder."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_file_that_holds_code_is_refused_and_not_run(make: Any, tmp_path: Path) -> None:
    config, weights, model = make()
    torch.save(
        {"meta": {"CLASSES": ("wall", "floor"), "x": Payload(tmp_path / "ran")}, "state_dict": model.state_dict()},
        weights,
    )
    with pytest.raises(UserError, match=r"tiny\.pth is refused: it .*mkdir"):
        Segmenter.open(Rooms(), spec=f"mmseg:{config}@{weights}")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        (f"mmseg:{ZOO}", rf"{ZOO} has no weights \(the model zoo has them at https://.*\.pth\); give their file as"),
        ("mmseg:tiny.py@f.pth", r"tiny\.py: no such file"),
        (f"mmseg:{ZOO[:-1]}@f.pth", f"no config .* did you mean {ZOO}"),
        ("mmseg@f.pth", "no config 'mmseg'"),
        (f"mmseg:{ZOO}@f.pth", r"f\.pth does not exist"),
    ],
)
def test_what_is_not_there(mmseg: Any, spec: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        Segmenter.open(open_dataset("streets"), spec=spec)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("model = dict(type='NoSuchThing')", "mmsegmentation cannot build .*: KeyError: .*NoSuchThing"),
        ("raise OSError('a disk')", "mmsegmentation cannot build .*: OSError: a disk; choose another config"),
        ("x = 1", "mmsegmentation cannot build .* no attribute 'model'"),
    ],
)
def test_a_config_that_cannot_be_built(make: Any, text: str, match: str) -> None:
    config, weights, _ = make()
    config.write_text(text)
    with pytest.raises(UserError, match=match) as caught:
        Segmenter.open(Rooms(), spec=f"mmseg:{config}@{weights}")
    assert "\n" not in str(caught.value)
