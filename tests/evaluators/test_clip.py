"""CLIP against transformers' CLIPModel on the same random weights; its images against PIL's; its texts, cut or not.

Small configurations are added to open_clip's list, so that files and names go the way that a user's do.
"""

import gc
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from open_clip.model import convert_to_custom_text_state_dict
from open_clip.transform import image_transform
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.files import file_hash
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluators import clip
from gcbench.evaluators.clip import CLIP
from gcbench.weights.manifest import find_entry

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
PROMPTS = ["a road with two cars", "People, a bus & a traffic light!", "a " * 200]


@pytest.fixture(scope="module", autouse=True)
def configurations(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("configurations")
    for name, more in {
        "tiny": {},
        "tiny-quickgelu": {"quick_gelu": True},
        "tiny-custom-quickgelu": {"quick_gelu": True, "custom_text": True},
    }.items():
        (folder / f"{name}.json").write_text(json.dumps({**TINY, **more}))
    open_clip.add_model_config(folder)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return open_dataset("streets")


@pytest.fixture(scope="module")
def images(dataset: Dataset) -> Tensor:
    images = np.stack([dataset.pair("val", i, (64, 128))[0] for i in range(3)])
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def transformers_model(name: str, act: str = "quick_gelu") -> CLIPModel:
    """transformers' CLIP of open_clip's configuration `name`, with random weights that keep signals of order 1."""
    config = open_clip.get_model_config(name)
    vision, text, dim = config["vision_cfg"], config["text_cfg"], config["embed_dim"]
    both = {"projection_dim": dim, "hidden_act": act}
    with torch.device("meta"):
        model = CLIPModel(
            CLIPConfig(
                text_config=CLIPTextConfig(
                    hidden_size=text["width"],
                    intermediate_size=4 * text["width"],
                    num_hidden_layers=text["layers"],
                    num_attention_heads=text["heads"],
                    vocab_size=text["vocab_size"],
                    bos_token_id=49406,
                    eos_token_id=49407,
                    **both,
                ).to_dict(),
                vision_config=CLIPVisionConfig(
                    hidden_size=vision["width"],
                    intermediate_size=4 * vision["width"],
                    num_hidden_layers=vision["layers"],
                    num_attention_heads=vision["width"] // vision.get("head_width", 64),
                    image_size=vision["image_size"],
                    patch_size=vision["patch_size"],
                    **both,
                ).to_dict(),
                projection_dim=dim,
            )
        )
    model = model.to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tower in (model.text_model, model.vision_model):
            places = tower.embeddings.position_ids
            places.copy_(torch.arange(places.shape[1])[None])
        for key, p in model.named_parameters():
            bound = (3 / p[0].numel()) ** 0.5 if p.dim() > 1 else 0.2
            p.uniform_(-bound, bound, generator=generator)
            if "norm" in key and key.endswith("weight"):
                p.add_(1)
            p.copy_(p.half())  # official files are float16
    return model


def as_open_clip(model: CLIPModel) -> dict[str, Tensor]:
    """The same weights under open_clip's names, float16 as in the official file."""
    theirs = model.state_dict()
    state = {
        "logit_scale": theirs["logit_scale"],
        "text_projection": theirs["text_projection.weight"].T,
        "token_embedding.weight": theirs["text_model.embeddings.token_embedding.weight"],
        "positional_embedding": theirs["text_model.embeddings.position_embedding.weight"],
        "visual.proj": theirs["visual_projection.weight"].T,
        "visual.class_embedding": theirs["vision_model.embeddings.class_embedding"],
        "visual.conv1.weight": theirs["vision_model.embeddings.patch_embedding.weight"],
        "visual.positional_embedding": theirs["vision_model.embeddings.position_embedding.weight"],
    }
    norms = {
        "ln_final": "text_model.final_layer_norm",
        "visual.ln_pre": "vision_model.pre_layrnorm",
        "visual.ln_post": "vision_model.post_layernorm",
    }
    parts = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    for ours, tower in (("transformer", "text_model"), ("visual.transformer", "vision_model")):
        for i in range(len(getattr(model, tower).encoder.layers)):
            block, layer = f"{ours}.resblocks.{i}", f"{tower}.encoder.layers.{i}"
            norms |= {f"{block}.{mine}": f"{layer}.{their}" for mine, their in parts.items()}
            norms[f"{block}.attn.out_proj"] = f"{layer}.self_attn.out_proj"
            for kind in ("weight", "bias"):
                three = [theirs[f"{layer}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
                state[f"{block}.attn.in_proj_{kind}"] = torch.cat(three)
    for mine, their in norms.items():
        state |= {f"{mine}.{kind}": theirs[f"{their}.{kind}"] for kind in ("weight", "bias")}
    return {key: value.half().contiguous() for key, value in state.items()}


def embeddings(model: CLIPModel, evaluator_input: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        pooled = model.vision_model(pixel_values=evaluator_input).pooler_output
        texts = model.text_model(input_ids=tokens).pooler_output
        return model.visual_projection(pooled), model.text_projection(texts)


def tokens_by_hand(prompts: list[str]) -> Tensor:
    """Start, at most 75 tokens of the text, end, zeros."""
    encode = open_clip.get_tokenizer("tiny").encode
    rows = [[49406, *encode(prompt)[:75], 49407] for prompt in prompts]
    return torch.tensor([row + [0] * (77 - len(row)) for row in rows])


@pytest.fixture(scope="module")
def peer() -> CLIPModel:
    return transformers_model("tiny-quickgelu")


@pytest.fixture(scope="module")
def file(peer: CLIPModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "open_clip_model.safetensors"
    save_file(as_open_clip(peer), path)
    return path


@pytest.fixture(scope="module")
def evaluator(file: Path, dataset: Dataset, configurations: None) -> CLIP:
    return CLIP.open(dataset, spec=f"tiny-quickgelu@{file}")


def cosines(evaluator: CLIP, images: Tensor, prompts: list[str]) -> Tensor:
    vectors, texts = evaluator(images).vectors, evaluator.read(prompts)
    assert vectors is not None
    assert vectors.dtype == texts.vectors.dtype == torch.float32
    return F.cosine_similarity(vectors.double()[:, None], texts.vectors.double()[None], dim=-1)


# ------------------------------------------------------------------------------------------------ parity


def test_cosines_are_transformers(evaluator: CLIP, peer: CLIPModel, images: Tensor) -> None:
    found = cosines(evaluator, images, PROMPTS)  # [3,3]
    vectors, texts = embeddings(peer, evaluator.prepare(images), tokens_by_hand(PROMPTS))
    expected = F.cosine_similarity(vectors.double()[:, None], texts.double()[None], dim=-1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert expected.std() > 1e-2  # they tell images and texts apart


def test_plain_gelu_gives_other_cosines(evaluator: CLIP, file: Path, dataset: Dataset, images: Tensor) -> None:
    """The trap: the same file opens under the plain name, and only the id and the numbers tell."""
    plain = CLIP.open(dataset, spec=f"tiny@{file}")
    assert evaluator.id == f"tiny#{file_hash(file)} quickgelu 32px fp32"
    assert plain.id == f"tiny#{file_hash(file)} gelu 32px fp32"
    assert (cosines(plain, images, PROMPTS) - cosines(evaluator, images, PROMPTS)).abs().max() > 1e-3


@pytest.mark.slow
def test_the_default_at_full_size_is_openais_network(
    dataset: Dataset, images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ViT-L/14 at 336 pixels, one image and one text. With plain GELU in the place of QuickGELU it fails."""
    assert find_entry(CLIP.weights).role == CLIP.role
    size, path = 336, tmp_path / "open_clip_model.safetensors"
    prepare = image_transform(size, is_train=False)
    image = prepare(Image.fromarray(images[0].permute(1, 2, 0).numpy()))
    peer = transformers_model(CLIP.name)
    save_file(as_open_clip(peer), path)
    expected = [*embeddings(peer, image[None], tokens_by_hand(PROMPTS[:1]))]
    for layer in (*peer.vision_model.encoder.layers, *peer.text_model.encoder.layers):
        layer.mlp.activation_fn = torch.nn.GELU()
    mutant = embeddings(peer, image[None], tokens_by_hand(PROMPTS[:1]))[1]
    del peer, layer
    gc.collect()
    monkeypatch.setattr(clip, "locate", {"clip-vit-l-14-336": path}.__getitem__)
    evaluator = CLIP.open(dataset)
    path.unlink()
    assert evaluator.id.startswith("ViT-L-14-336#")
    assert evaluator.id.endswith(" quickgelu 336px fp32")
    monkeypatch.setattr(evaluator, "prepare", lambda images: image[None])
    found = cosines(evaluator, images[:1], PROMPTS[:1])
    torch.testing.assert_close(found[0], F.cosine_similarity(*expected).double(), atol=1e-5, rtol=0)
    text = evaluator.read(PROMPTS[:1]).vectors
    torch.testing.assert_close(text, expected[1], atol=1e-4, rtol=1e-4)
    assert (text - mutant).abs().max() > 1e-2


# ------------------------------------------------------------------------------------------------ images and texts


@pytest.mark.parametrize("size", [(64, 128), (50, 33), (32, 32), (300, 301), (20, 90)])
def test_images_are_prepared_as_open_clip_does(evaluator: CLIP, dataset: Dataset, size: tuple[int, int]) -> None:
    """To 2 of 255 grey levels, and exactly in 995 of 1000 places: the rest is PIL's fixed-point rounding."""
    image = dataset.pair("val", 0, (64, 128))[0]
    array = np.array(Image.fromarray(image).resize(size[::-1], Image.Resampling.LANCZOS))
    expected = image_transform(32, is_train=False)(Image.fromarray(array))
    found = evaluator.prepare(torch.from_numpy(array).permute(2, 0, 1)[None])[0]
    assert found.shape == expected.shape == (3, 32, 32)
    levels = (found - expected).abs() * evaluator.std[0] * 255
    assert levels.max() < 2.1
    assert (levels > 0.01).float().mean() < 5e-3


def test_the_end_token_survives_truncation(evaluator: CLIP) -> None:
    """A long text is read as its first 75 tokens. Cut behind, as a fixed length would, the end token is lost."""
    read = evaluator.read(["a " * 200, "a " * 75, "a " * 76, "a " * 74])
    assert read.truncated.tolist() == [True, False, True, False]
    torch.testing.assert_close(read.vectors[0], read.vectors[1])
    torch.testing.assert_close(read.vectors[2], read.vectors[1])
    assert (read.vectors[3] - read.vectors[1]).abs().max() > 1e-3
    tokens = evaluator.tokenizer(["a " * 200])
    assert torch.equal(tokens, tokens_by_hand(["a " * 200]))
    assert tokens[0, -1] == evaluator.tokenizer.eot_token_id
    tokens[0, -1] = tokens[0, -2]  # the kept mutant
    with torch.no_grad():
        assert (evaluator.network.encode_text(tokens) - read.vectors[1]).abs().max() > 1e-3


def test_batches_change_nothing(evaluator: CLIP, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cosines(evaluator, images, PROMPTS)
    monkeypatch.setattr(CLIP, "chunk", 2)
    torch.testing.assert_close(cosines(evaluator, images, PROMPTS), whole, atol=1e-6, rtol=0)


# ------------------------------------------------------------------------------------------------ files and names


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tiny-quickgelu", lambda state: {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}),
        ("tiny-quickgelu", lambda state: {**state, "input_resolution": torch.tensor(32)}),
        ("tiny-custom-quickgelu", convert_to_custom_text_state_dict),
    ],
    ids=["of training", "of OpenAI's format", "text tower apart"],
)
def test_other_forms_of_the_same_weights(
    name: str,
    content: Callable[[dict[str, Tensor]], object],
    evaluator: CLIP,
    peer: CLIPModel,
    dataset: Dataset,
    images: Tensor,
    tmp_path: Path,
) -> None:
    torch.save(content(as_open_clip(peer)), tmp_path / "w.pt")
    found = CLIP.open(dataset, spec=f"{name}@{tmp_path / 'w.pt'}")
    torch.testing.assert_close(cosines(found, images, PROMPTS), cosines(evaluator, images, PROMPTS))


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("ViT-L-14-336@{file}", "all weights of ViT-L-14-336 were trained with QuickGELU.*ViT-L-14-336-quickgelu@FILE"),
        ("ViT-B-32-quickgel@{file}", "no such model; did you mean ViT-B-32-quickgelu"),
        ("qqqqqq@{file}", r"no such model; choose one of open_clip\.list_models\(\)$"),
        ("hf-hub:timm/some@{file}", "no such model"),
        ("ViT-B-32-quickgelu", "needs the file of its weights; write clip=ViT-B-32-quickgelu@FILE"),
        ("ViT-B-16-SigLIP@{file}", "only models with CLIP's own tokenizer"),
        ("xlm-roberta-base-ViT-B-32@{file}", "only models with CLIP's own tokenizer"),
        ("coca_ViT-B-32@{file}", "only models with CLIP's own tokenizer"),
        ("ViT-H-14-378-quickgelu@{file}", "want images prepared in another way"),
        ("tiny@{folder}/none.pth", "none.pth does not exist"),
    ],
)
def test_what_cannot_be_opened(spec: str, match: str, file: Path, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=match) as error:
        CLIP.open(dataset, spec=spec.format(file=file, folder=tmp_path))
    assert "\n" not in str(error.value)


def test_openais_format_needs_quickgelu(peer: CLIPModel, dataset: Dataset, tmp_path: Path) -> None:
    torch.save({**as_open_clip(peer), "context_length": torch.tensor(77)}, tmp_path / "openai.pth")
    with pytest.raises(UserError, match=r"openai.pth were trained with QuickGELU.*write clip=tiny-quickgelu@FILE"):
        CLIP.open(dataset, spec=f"tiny@{tmp_path / 'openai.pth'}")


def test_weights_of_another_network_are_refused(peer: CLIPModel, dataset: Dataset, tmp_path: Path) -> None:
    state = as_open_clip(peer)
    state["visual.proj"] = state["visual.proj"][:, :8].contiguous()
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"not hold weights of open_clip's tiny-quickgelu: 'visual.proj' is 64×8"):
        CLIP.open(dataset, spec=f"tiny-quickgelu@{tmp_path / 'other.safetensors'}")


def test_missing_weights_name_the_command(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.delenv("GCBENCH_OFFLINE", raising=False)
    with pytest.raises(UserError, match="gcbench weights fetch clip-vit-l-14-336"):
        CLIP.open(dataset)
