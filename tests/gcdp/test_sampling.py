"""Sampling with a tiny random model: nothing but its own text and seed shapes a sample; checkpoints; their errors."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import card_beside
from torch import Tensor

from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, ModelOptions, Size
from gcbench.core.errors import UserError
from gcbench.diffusion.joint import JointProcess
from gcbench.diffusion.noise import SeededNoise
from gcbench.gcdp.config import GCDPConfig
from gcbench.gcdp.model import GCDP
from gcbench.gcdp.network import TextToPair, store_in_bfloat16
from gcbench.gcdp.sampling import Sampling, sample_many

WORDS = ("bus", "car", "road", "sky", "tree")
PROMPTS = ["a car", "the road, the sky and a tree by a bus", "", "bus", "sky tree road"]
SEEDS = [3, 14, 15, 92, 6]
SIZE = (8, 12)


class Toy(Dataset):
    """Four classes, no files."""

    name = "toy"
    classes = ("road", "car", "sky", "void")
    palette = ((0, 0, 0), (255, 0, 0), (0, 0, 255), (9, 9, 9))
    void = 3
    size = SIZE
    splits = ("train", "val")
    aliases = {name: (name,) for name in ("road", "car", "sky")}  # noqa: RUF012
    resize = "none"
    version = "1"

    @classmethod
    def open(cls) -> "Toy":
        return cls()

    def ids(self, split: str) -> Sequence[str]:
        return ["0", "1"]

    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8)

    def captions(self, split: str, index: int) -> Sequence[str]:
        return ["a car on the road"]


class Other(Toy):
    name = "other"
    classes = ("road", "lorry", "sky", "void")


def config(*, text: bool = True, **process: Any) -> GCDPConfig:
    return GCDPConfig.model_validate(
        {
            "unet": {
                "dim": 8,
                "mults": (1, 2),
                "blocks": (1, 1),
                "self_attention": (False, True),
                "cross_attention": (False, True),
                "text_length": 12,
                "latents": 3,
                "pooled": 1,
                "heads": 2,
                "dim_head": 4,
                "groups": 4,
                "sinusoids": 4,
                "init_kernels": (3, 5),
            },
            "process": {"steps": 50, "classes": 4, **process},
            "text": {"dim": 6, "vocabulary": WORDS} if text else None,
            "size": SIZE,
            "sample_steps": 3,
            "block": 3,
        }
    )


def network(cfg: GCDPConfig) -> TextToPair:
    """Random weights, the zero heads included, and loud texts, so that samples differ from each other."""
    torch.manual_seed(0)
    net = TextToPair(cfg)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "final_conv" in name:
                p.normal_(std=0.4)
    return net.eval()


def draw(
    net: TextToPair,
    cfg: GCDPConfig,
    prompts: Sequence[str] | None,
    seeds: Sequence[int],
    *,
    guidance: float = 2.0,
    batch_size: int = 3,
    precision: str = "fp32",
) -> tuple[Tensor, Tensor]:
    images, layouts = sample_many(
        net,
        JointProcess(cfg.process),
        prompts,
        seeds,
        Sampling(SIZE, guidance, 4, precision),
        batch_size=batch_size,
    )
    assert layouts is not None
    return images, layouts


# ------------------------------------------------------------------------------------------------ invariances


@pytest.fixture(scope="module")
def cfg() -> GCDPConfig:
    return config()


@pytest.fixture(scope="module")
def net(cfg: GCDPConfig) -> TextToPair:
    return network(cfg)


@pytest.fixture(scope="module")
def whole(net: TextToPair, cfg: GCDPConfig) -> tuple[Tensor, Tensor]:
    return draw(net, cfg, PROMPTS, SEEDS)


def test_samples_are_images_and_layouts_that_differ(whole: tuple[Tensor, Tensor]) -> None:
    images, layouts = whole
    assert images.shape == (5, 3, *SIZE)
    assert images.dtype == torch.uint8
    assert layouts.shape == (5, *SIZE)
    assert layouts.dtype == torch.int64
    assert layouts.min() >= 0
    assert layouts.max() < 4
    for i in range(4):
        assert not torch.equal(images[i], images[i + 1])
        assert not torch.equal(layouts[i], layouts[i + 1])


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_neither_batch_nor_order_changes_a_sample(net: TextToPair, cfg: GCDPConfig, guidance: float) -> None:
    """Five prompts in blocks of three, one by one, and backwards: the same layouts, images but for rounding."""
    images, layouts = draw(net, cfg, PROMPTS, SEEDS, guidance=guidance)
    alone = [draw(net, cfg, [p], [s], guidance=guidance) for p, s in zip(PROMPTS, SEEDS, strict=True)]
    turned = draw(net, cfg, PROMPTS[::-1], SEEDS[::-1], guidance=guidance)
    for other_images, other_layouts in (
        (torch.cat([a for a, _ in alone]), torch.cat([b for _, b in alone])),
        (turned[0].flip(0), turned[1].flip(0)),
    ):
        assert torch.equal(layouts, other_layouts)
        assert (images.int() - other_images.int()).abs().max() <= 1


def test_images_before_rounding_do_not_depend_on_the_batch(net: TextToPair, cfg: GCDPConfig) -> None:
    """The network's own outputs, whatever stands beside a sample in the block: below 1e-4 in float32."""
    x = torch.randn(3, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    y = torch.randint(4, (3, *SIZE), generator=torch.Generator().manual_seed(1))
    log_snr = torch.full((3,), -1.0)
    keep = torch.ones(3, dtype=torch.bool)
    with torch.inference_mode():
        mixed = net.unet(x, y, log_snr, net.read(PROMPTS[:3], keep))
        for i in range(3):
            same = [v[i : i + 1].expand(3, *v.shape[1:]).contiguous() for v in (x, y, log_snr)]
            alone = net.unet(*same, net.read([PROMPTS[i]] * 3, keep))
            assert (mixed.noise[i] - alone.noise[0]).abs().max() < 1e-4
            assert (mixed.logits[i] - alone.logits[0]).abs().max() < 1e-4


def test_same_seed_same_sample(net: TextToPair, cfg: GCDPConfig, whole: tuple[Tensor, Tensor]) -> None:
    again = draw(net, cfg, PROMPTS, SEEDS)
    assert torch.equal(again[0], whole[0])
    assert torch.equal(again[1], whole[1])
    twice = draw(net, cfg, ["a car"] * 2, [1, 1])
    assert torch.equal(twice[0][0], twice[0][1])
    other = draw(net, cfg, ["a car"] * 2, [1, 2])
    assert not torch.equal(other[0][0], other[0][1])


def test_text_and_guidance_change_the_sample(net: TextToPair, cfg: GCDPConfig) -> None:
    texts = draw(net, cfg, ["car car car", "sky tree bus"], [1, 1], guidance=1.0)
    assert not torch.equal(texts[0][0], texts[0][1])
    weak, strong = (draw(net, cfg, ["sky tree bus"], [1], guidance=w)[0] for w in (1.0, 6.0))
    assert not torch.equal(weak, strong)


def by_hand(net: TextToPair, cfg: GCDPConfig, prompt: str | None, seed: int, guidance: float) -> tuple[Tensor, Tensor]:
    """Two passes of a batch of one, guidance written out, the process's own loop."""
    yes, no = torch.tensor([True]), torch.tensor([False])
    with torch.inference_mode():
        conditional = net.read([prompt], yes) if prompt is not None else net.read(None, no)
        null = net.read(None, no)

        def predict(x: Tensor, y: Tensor | None, log_snr: Tensor) -> tuple[Tensor, Tensor]:
            a, b = net.unet(x, y, log_snr, conditional), net.unet(x, y, log_snr, null)
            return b.noise + guidance * (a.noise - b.noise), b.logits + guidance * (a.logits - b.logits)

        *_, end = JointProcess(cfg.process).sample(predict, SeededNoise([seed]), SIZE, 4)
    assert end.layout is not None
    return ((end.image.clamp(-1, 1) + 1) * 127.5).round(), end.layout


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_guidance_is_null_plus_scaled_difference(net: TextToPair, cfg: GCDPConfig, guidance: float) -> None:
    images, layouts = draw(net, cfg, PROMPTS[:2], SEEDS[:2], guidance=guidance)
    for i in range(2):
        expected_image, expected_layout = by_hand(net, cfg, PROMPTS[i], SEEDS[i], guidance)
        assert (images[i].float() - expected_image[0]).abs().max() <= 1
        assert torch.equal(layouts[i], expected_layout[0])


def test_scale_one_is_one_conditional_pass(net: TextToPair, cfg: GCDPConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """No null pass: the network sees three levels at scale 1 and six above."""
    sizes: list[int] = []
    original = net.unet.forward

    def spy(x: Tensor, y: Tensor, log_snr: Tensor, *rest: Any) -> Any:
        sizes.append(len(log_snr))
        return original(x, y, log_snr, *rest)

    monkeypatch.setattr(net.unet, "forward", spy)
    draw(net, cfg, PROMPTS[:2], SEEDS[:2], guidance=1.0)
    draw(net, cfg, PROMPTS[:2], SEEDS[:2], guidance=2.0)
    assert sizes == [3] * 4 + [6] * 4


def test_without_prompts_the_null_stands_for_the_text(net: TextToPair, cfg: GCDPConfig) -> None:
    images, layouts = draw(net, cfg, None, SEEDS[:2], guidance=5.0)
    for i in range(2):
        expected_image, expected_layout = by_hand(net, cfg, None, SEEDS[i], 1.0)
        assert (images[i].float() - expected_image[0]).abs().max() <= 1
        assert torch.equal(layouts[i], expected_layout[0])


def test_an_unconditional_model(cfg: GCDPConfig) -> None:
    plain = config(text=False)
    net = network(plain)
    whole, alone = draw(net, plain, None, SEEDS), draw(net, plain, None, SEEDS[4:])
    assert torch.equal(whole[1][4:], alone[1])


def test_half_precision_gives_samples(net: TextToPair, cfg: GCDPConfig) -> None:
    images, layouts = draw(net, cfg, PROMPTS[:2], SEEDS[:2], precision="bf16")
    assert images.shape == (2, 3, *SIZE)
    assert layouts.max() < 4


def test_weights_held_in_half_precision_are_what_autocast_reads(cfg: GCDPConfig) -> None:
    """The same samples to the bit; convolutions and linear layers take half the memory."""
    net = network(cfg)
    before = draw(net, cfg, PROMPTS, SEEDS, precision="bf16")
    store_in_bfloat16(net)
    after = draw(net, cfg, PROMPTS, SEEDS, precision="bf16")
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    halved = [p for p in net.parameters() if p.dtype == torch.bfloat16]
    assert sum(p.numel() for p in halved) > 0.9 * sum(p.numel() for p in net.unet.parameters())


def test_a_network_without_content_is_filled_without_copies(saved: Path, net: TextToPair, cfg: GCDPConfig) -> None:
    loaded = checkpoint.load(saved, kind="model")
    empty = TextToPair(cfg, empty=True)
    assert {p.device.type for p in empty.unet.parameters()} == {"meta"}
    checkpoint.fill(empty, loaded)
    assert all(p.data_ptr() == loaded.state[name].data_ptr() for name, p in empty.named_parameters())
    assert all(p.requires_grad for p in empty.parameters())
    drawn, expected = (draw(each.eval(), cfg, PROMPTS, SEEDS) for each in (empty, net))
    assert all(torch.equal(a, b) for a, b in zip(drawn, expected, strict=True))


# ------------------------------------------------------------------------------------------------ checkpoints


def card(cfg: GCDPConfig, **changes: Any) -> checkpoint.Card:
    fields = {
        "kind": "model",
        "name": "gcdp",
        "classes": Toy.classes,
        "dataset": "toy",
        "config": cfg.model_dump(mode="json"),
    }
    return checkpoint.Card.model_validate({**fields, **changes})


@pytest.fixture
def saved(tmp_path: Path, net: TextToPair, cfg: GCDPConfig) -> Path:
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, net.trained(), card(cfg))
    return path


def open_model(path: Path, dataset: Dataset | None = None, **options: Any) -> GCDP:
    return GCDP.open(dataset or Toy(), ModelOptions(checkpoint=path, **options))


def refusal(path: Path, dataset: Dataset | None = None, **options: Any) -> str:
    """The one sentence that a user reads."""
    with pytest.raises(UserError) as caught:
        open_model(path, dataset, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence.replace(str(path.parent), "")) < 260
    return sentence


def test_saved_and_opened_it_draws_the_same(saved: Path, net: TextToPair, cfg: GCDPConfig) -> None:
    model = open_model(saved, steps=4)
    assert model.conditional
    assert model.guided
    samples = model.generate(PROMPTS, n=5, size=SIZE, guidance=2.0, seeds=SEEDS)
    images, layouts = draw(net, cfg, PROMPTS, SEEDS)
    assert torch.equal(samples.images, images)
    assert samples.layouts is not None
    assert torch.equal(samples.layouts, layouts)
    assert samples.layout_source == "generated"
    assert samples.prompts == tuple(PROMPTS)
    assert samples.ids == ("000003", "000014", "000015", "000092", "000006")
    assert model.describe()["weights"] == checkpoint.read_card(saved).sha256
    assert model.sampler()["steps"] == 4


def test_a_directory_with_one_checkpoint_will_do(saved: Path) -> None:
    assert open_model(saved.parent).steps == 3


def test_weights_are_found_in_the_users_folder(
    tmp_path: Path, net: TextToPair, cfg: GCDPConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.save(tmp_path / "w" / "gcdp" / "toy" / "model.safetensors", net.trained(), card(cfg))
    monkeypatch.setenv("GCBENCH_WEIGHTS", str(tmp_path / "w"))
    assert GCDP.open(Toy(), ModelOptions()).card.dataset == "toy"


def test_no_weights_names_the_command_to_train(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GCBENCH_WEIGHTS", raising=False)
    with pytest.raises(UserError, match="gcbench train --model gcdp --dataset toy"):
        GCDP.open(Toy(), ModelOptions())


def test_missing_file(tmp_path: Path) -> None:
    assert "nowhere.safetensors does not exist" in refusal(tmp_path / "nowhere.safetensors")


def test_other_classes(saved: Path) -> None:
    assert "'car' where 'lorry' is expected" in refusal(saved, Other())


def test_other_model(tmp_path: Path, net: TextToPair, cfg: GCDPConfig) -> None:
    checkpoint.save(tmp_path / "a.safetensors", net.trained(), card(cfg, name="ldm"))
    assert "'ldm', not of 'gcdp'" in refusal(tmp_path / "a.safetensors")
    checkpoint.save(tmp_path / "b.safetensors", net.trained(), card(cfg, kind="evaluator", name="segmenter"))
    assert "evaluator 'segmenter'" in refusal(tmp_path / "b.safetensors")


def test_truncated_file(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-100])
    assert "truncated" in refusal(saved)
    saved.write_bytes(b"")
    assert "truncated" in refusal(saved)


def test_missing_and_broken_card(saved: Path) -> None:
    beside = card_beside(saved)
    beside.write_text("{}")
    assert "not the card" in refusal(saved)
    beside.unlink()
    assert "model.json is missing" in refusal(saved)


def test_altered_file(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-5] ^= 1
    saved.write_bytes(content)
    assert "SHA-256" in refusal(saved)


def test_a_network_of_another_shape(tmp_path: Path, net: TextToPair, cfg: GCDPConfig) -> None:
    wider = cfg.model_copy(update={"unet": cfg.unet.model_copy(update={"dim": 16})})
    checkpoint.save(tmp_path / "m.safetensors", net.trained(), card(wider))
    assert "does not fit" in refusal(tmp_path / "m.safetensors")


def test_a_config_that_this_version_does_not_know(saved: Path) -> None:
    beside = card_beside(saved)
    content = json.loads(beside.read_text())
    content["config"]["unet"]["wings"] = 2
    beside.write_text(json.dumps(content))
    assert "unet.wings" in refusal(saved)


@pytest.mark.parametrize("steps", [51, 0, -1])
def test_impossible_number_of_steps(saved: Path, steps: int) -> None:
    assert "1..50" in refusal(saved, steps=steps)


def test_a_size_that_the_network_cannot_halve(saved: Path) -> None:
    with pytest.raises(UserError, match="multiples of 4"):
        open_model(saved).generate(["a car"], n=1, size=(8, 14), guidance=1.0, seeds=[0])
