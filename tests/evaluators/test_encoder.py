"""Encoders against a plain DINOv2 written here, timm's and open_clip's own pipelines, on equal random weights."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
import torch.nn.functional as F
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torchvision import transforms

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.files import file_hash
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluators import encoder_networks
from gcbench.evaluators.encoder import Encoder
from gcbench.weights.manifest import find_entry

WIDTH, DEPTH, HEADS, PATCH, TRAINED = 32, 2, 2, 14, 37  # DINOv2's own patches, and its 37×37 of them in training


@register_model
def tiny_patch14_dinov2(pretrained: bool = False, **options: object) -> VisionTransformer:
    """DINOv2's architecture, small."""
    sizes = {"patch_size": PATCH, "embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS, "init_values": 1e-5}
    given = {name: value for name, value in options.items() if name in ("img_size", "num_classes")}
    network = VisionTransformer(**{"img_size": 518, **sizes, **given})
    network.pretrained_cfg = timm.get_pretrained_cfg("vit_large_patch14_dinov2").to_dict()
    return network


@pytest.fixture(autouse=True)
def small_dinov2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(encoder_networks.DINOV2, "dinov2-vitl14", ("DINOv2-L", "tiny_patch14_dinov2"))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return open_dataset("streets")


@pytest.fixture(scope="module")
def arrays(dataset: Dataset) -> list[np.ndarray]:
    return [dataset.pair("val", i, (64, 128))[0] for i in range(3)]


def batch(arrays: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Random weights under the names of DINOv2's own file, of order 1 so that every part counts."""
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "cls_token": (1, 1, WIDTH),
        "mask_token": (1, WIDTH),
        "pos_embed": (1, 1 + TRAINED**2, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
        "patch_embed.proj.bias": (WIDTH,),
        "norm.weight": (WIDTH,),
        "norm.bias": (WIDTH,),
    }
    for i in range(DEPTH):
        for part in ("norm1", "norm2"):
            shapes |= {f"blocks.{i}.{part}.{name}": (WIDTH,) for name in ("weight", "bias")}
        shapes |= {f"blocks.{i}.ls{k}.gamma": (WIDTH,) for k in (1, 2)}
        for part, (out, into) in {
            "attn.qkv": (3 * WIDTH, WIDTH),
            "attn.proj": (WIDTH, WIDTH),
            "mlp.fc1": (4 * WIDTH, WIDTH),
            "mlp.fc2": (WIDTH, 4 * WIDTH),
        }.items():
            shapes |= {f"blocks.{i}.{part}.weight": (out, into), f"blocks.{i}.{part}.bias": (out,)}
    return {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()}


def dinov2(x: Tensor, p: dict[str, Tensor]) -> Tensor:
    """DINOv2's forward pass as its paper and its repository describe it: the normed class token [B,d]."""
    side = x.shape[-1] // PATCH
    tokens = F.conv2d(x, p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], stride=PATCH)
    tokens = tokens.flatten(2).transpose(1, 2)  # [B,n,d]
    grid = p["pos_embed"][:, 1:].reshape(1, TRAINED, TRAINED, WIDTH).permute(0, 3, 1, 2)
    ratio = float((side + 0.1) / TRAINED)
    grid = F.interpolate(grid, scale_factor=(ratio, ratio), mode="bicubic")
    assert grid.shape[-2:] == (side, side)
    positions = torch.cat([p["pos_embed"][:, :1], grid.permute(0, 2, 3, 1).reshape(1, -1, WIDTH)], dim=1)
    h = torch.cat([p["cls_token"].expand(len(x), -1, -1), tokens], dim=1) + positions
    for i in range(DEPTH):
        q = {name.removeprefix(f"blocks.{i}."): w for name, w in p.items() if name.startswith(f"blocks.{i}.")}
        y = F.layer_norm(h, (WIDTH,), q["norm1.weight"], q["norm1.bias"], 1e-6)
        qkv = F.linear(y, q["attn.qkv.weight"], q["attn.qkv.bias"]).reshape(*y.shape[:2], 3, HEADS, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # [B,heads,n,d/heads] each
        weights = (query @ key.transpose(-2, -1) / (WIDTH // HEADS) ** 0.5).softmax(-1)
        mixed = (weights @ value).transpose(1, 2).reshape(y.shape)
        h = h + q["ls1.gamma"] * F.linear(mixed, q["attn.proj.weight"], q["attn.proj.bias"])
        y = F.layer_norm(h, (WIDTH,), q["norm2.weight"], q["norm2.bias"], 1e-6)
        y = F.gelu(F.linear(y, q["mlp.fc1.weight"], q["mlp.fc1.bias"]))
        h = h + q["ls2.gamma"] * F.linear(y, q["mlp.fc2.weight"], q["mlp.fc2.bias"])
    return F.layer_norm(h, (WIDTH,), p["norm.weight"], p["norm.bias"], 1e-6)[:, 0]


def dgm_eval(array: np.ndarray) -> Tensor:
    """How dgm-eval prepares an image for DINOv2."""
    steps = [
        transforms.Resize((224, 224), transforms.InterpolationMode.BICUBIC),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
    return transforms.Compose(steps)(Image.fromarray(array))


@pytest.fixture
def file(state: dict[str, Tensor], tmp_path: Path) -> Path:
    path = tmp_path / "dinov2.pth"
    torch.save(state, path)
    return path


def near(found: Tensor, expected: Tensor, share: float) -> None:
    """Within a share of the spread of the features."""
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < share * expected.std()


def test_dinov2_is_what_dgm_eval_measures_with(
    file: Path, state: dict[str, Tensor], dataset: Dataset, arrays: list[np.ndarray]
) -> None:
    """Kept mutant: timm's own way with the positions, which is antialiased, gives other features."""
    evaluator = Encoder.open(dataset, spec=f"dinov2-vitl14@{file}")
    expected = dinov2(torch.stack([dgm_eval(array) for array in arrays]), state)
    found = evaluator(batch(arrays)).vectors
    assert found is not None
    near(found, expected, 0.01)  # 8-bit rounding of the resize is what is left
    near(evaluator.network(torch.stack([dgm_eval(array) for array in arrays])), expected, 1e-4)
    mutant = timm.create_model("tiny_patch14_dinov2", num_classes=0, img_size=224)
    mutant.load_state_dict(timm.models.vision_transformer.checkpoint_filter_fn(dict(state), mutant))
    with torch.no_grad():
        away = mutant.eval()(torch.stack([dgm_eval(array) for array in arrays])) - expected
    assert away.abs().max() > 10 * 1e-4 * expected.std()
    assert evaluator.id == f"DINOv2-L#{file_hash(file)} 224px squeezed bicubic fp32"


def test_the_official_file_is_found_by_its_name(
    state: dict[str, Tensor], dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In timm's layout, as the manifest's file is."""
    monkeypatch.setenv("GCBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(UserError, match="gcbench weights fetch dinov2-vitl14"):
        Encoder.open(dataset)
    (tmp_path / "dinov2-vitl14").mkdir()
    path = tmp_path / "dinov2-vitl14" / find_entry("dinov2-vitl14").file
    save_file({name: x for name, x in state.items() if name != "mask_token"}, path)
    assert Encoder.open(dataset).id.startswith(f"DINOv2-L#{file_hash(path)} ")


@pytest.mark.parametrize("name", ["test_resnet.r160_in1k", "test_vit", "test_convnext.r160_in1k"])
def test_networks_of_timm(name: str, dataset: Dataset, arrays: list[np.ndarray], tmp_path: Path) -> None:
    """timm's own transform and network; the file has its classifier, which is left aside."""
    torch.manual_seed(0)
    peer = timm.create_model(name).eval()
    save_file(peer.state_dict(), tmp_path / "w.safetensors")
    evaluator = Encoder.open(dataset, spec=f"{name}@{tmp_path / 'w.safetensors'}")
    transform = create_transform(**resolve_data_config(pretrained_cfg=peer.pretrained_cfg))
    inputs = torch.stack([transform(Image.fromarray(array)) for array in arrays])
    with torch.no_grad():
        expected = peer.forward_head(peer.forward_features(inputs), pre_logits=True)
    found = evaluator(batch(arrays)).vectors
    assert found is not None
    near(evaluator.network(inputs), expected, 1e-4)
    assert (evaluator.prepare(batch(arrays)) - inputs).abs().max() < 2.1 / 255 / min(peer.pretrained_cfg["std"])
    near(found, expected, 0.02)
    assert evaluator.id.startswith(f"{name}#")


TOWER = {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}


@pytest.fixture
def tiny_clip(tmp_path: Path) -> str:
    for name, more in {"small": {}, "small-quickgelu": {"quick_gelu": True}}.items():
        (tmp_path / f"{name}.json").write_text(
            json.dumps({"embed_dim": 16, "vision_cfg": TOWER, "text_cfg": TEXT, **more})
        )
    open_clip.add_model_config(tmp_path)
    return "small-quickgelu"


def test_networks_of_open_clip(tiny_clip: str, dataset: Dataset, arrays: list[np.ndarray], tmp_path: Path) -> None:
    """open_clip's own transform and `encode_image`; the text tower in the file is not read."""
    torch.manual_seed(0)
    peer = open_clip.create_model(tiny_clip).eval()
    save_file({name: x.contiguous() for name, x in peer.state_dict().items()}, tmp_path / "w.safetensors")
    evaluator = Encoder.open(dataset, spec=f"open_clip:{tiny_clip}@{tmp_path / 'w.safetensors'}")
    transform = image_transform_v2(PreprocessCfg(size=32), is_train=False)
    inputs = torch.stack([transform(Image.fromarray(array)) for array in arrays])
    with torch.no_grad():
        expected = peer.encode_image(inputs)
    found = evaluator(batch(arrays)).vectors
    assert found is not None
    near(evaluator.network(inputs), expected, 1e-4)
    near(found, expected, 0.05)
    assert evaluator.id.endswith(" 32px centre of 32px bicubic fp32")


def test_an_image_is_measured_alike_in_any_batch(file: Path, dataset: Dataset, arrays: list[np.ndarray]) -> None:
    evaluator = Encoder.open(dataset, spec=f"dinov2-vitl14@{file}")
    whole, alone = evaluator(batch(arrays)).vectors, evaluator(batch(arrays[2:])).vectors
    torch.testing.assert_close(whole[2:], alone)


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("resnet50", r"needs the file of its weights; write encoder=resnet50@FILE"),
        ("resnet5@{file}", r"timm has no such network; did you mean"),
        ("test_resnet@{file}", r"does not hold weights of timm's test_resnet"),
        ("resnet50.no_such_tag@{file}", r"encoder=resnet50.no_such_tag: .*give another tag"),
        ("open_clip:ViT-B-33@{file}", r"open_clip has no such network; did you mean"),
        ("open_clip:ViT-L-14-336@{file}", r"write open_clip:ViT-L-14-336-quickgelu@FILE"),
        ("open_clip:ViT-B-32.no@{file}", r"open_clip lists no 'no' of ViT-B-32"),
        ("dinov2-vitl14@{folder}/none.pth", r"none.pth does not exist"),
    ],
)
def test_what_cannot_be_opened(spec: str, match: str, file: Path, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=match) as error:
        Encoder.open(dataset, spec=spec.format(file=file, folder=tmp_path))
    assert "\n" not in str(error.value)
