"""GANformer: its attention against loops over places and latents; training, sampling, what it refuses."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Cli, assert_same_images
from torch import Tensor, nn

from gcbench.baselines.ganformer.attention import BipartiteAttention, means, places
from gcbench.baselines.ganformer.config import PAPER, TINY
from gcbench.baselines.ganformer.model import GANformer
from gcbench.baselines.ganformer.network import Generator, LatentAttention
from gcbench.core import checkpoint
from gcbench.core.contracts import ModelOptions
from gcbench.core.record import Record
from gcbench.data.open_dataset import open_dataset
from gcbench.networks.stylegan2 import Discriminator, Linear, StyleGAN2Config, Synthesis
from gcbench.training.pairs import Pairs

SMALL = {
    "model.channel_base": 128,
    "model.channel_max": 16,
    "model.z_dim": 8,
    "model.w_dim": 8,
    "model.mapping_layers": 2,
    "model.components": 3,
    "model.sample_batch": 3,
}


def small_settings() -> list[str]:
    return [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def random_weights(toyland: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights whose noise is as strong as its styles."""
    recipe = GANformer.recipe(open_dataset(str(toyland)), dict(SMALL))
    with torch.no_grad():
        for name, parameter in recipe.named_parameters():
            if name.endswith("strength"):
                parameter.fill_(0.5)
    path = tmp_path_factory.mktemp("ganformer") / "model.safetensors"
    checkpoint.save(path, recipe.weights(), recipe.card({"steps": 0}))
    return path


def opened(toyland: Path, weights: Path, **options: object) -> GANformer:
    return GANformer.open(open_dataset(str(toyland)), ModelOptions(checkpoint=weights, **options))  # type: ignore[arg-type]


def dense(layer: Linear, x: np.ndarray) -> np.ndarray:
    """An equalised layer by hand: W stored at unit variance."""
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    return weight @ x / math.sqrt(weight.shape[1]) + bias


def raised(shares: np.ndarray, h: int, w: int) -> np.ndarray:
    """[k,h',w'] to [k,h,w], bilinear between pixel centres, the border repeated outside."""
    k, h0, w0 = shares.shape
    out = np.zeros((k, h, w))
    for i in range(h):
        for j in range(w):
            y = min(max((i + 0.5) * h0 / h - 0.5, 0), h0 - 1)
            x = min(max((j + 0.5) * w0 / w - 0.5, 0), w0 - 1)
            top, left = int(y), int(x)
            below, right = min(top + 1, h0 - 1), min(left + 1, w0 - 1)
            upper = (1 - x + left) * shares[:, top, left] + (x - left) * shares[:, top, right]
            lower = (1 - x + left) * shares[:, below, left] + (x - left) * shares[:, below, right]
            out[:, i, j] = (1 - y + top) * upper + (y - top) * lower
    return out


@pytest.mark.parametrize(("duplex", "first"), [(True, True), (True, False), (False, True), (False, False)])
def test_attention_is_a_loop_over_places_and_latents(duplex: bool, first: bool) -> None:
    torch.manual_seed(0)
    b, c, k, d, h, w = 2, 6, 3, 5, 4, 8
    layer = BipartiteAttention(c, d, k, duplex=duplex, first=first, dropout=0.5).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn_like(parameter))
    x, latents = torch.randn(b, c, h, w).double(), torch.randn(b, k, d).double()
    before = None if first else torch.rand(b, k, h // 2, w // 2).double()
    got, shares = (tensor.detach().numpy() for tensor in layer(x, latents, before))
    code = places(h, w, torch.device("cpu")).numpy()
    for i in range(b):
        tokens, queries = np.zeros((h, w, c)), np.zeros((h, w, c))
        for y in range(h):
            for z in range(w):
                one = x[i, :, y, z].numpy()
                tokens[y, z] = (one - one.mean()) / math.sqrt(one.var() + 1e-5)
                queries[y, z] = (dense(layer.query, tokens[y, z]) + dense(layer.place, code[y * w + z])) / math.sqrt(2)
        keys = np.zeros((k, c))
        for j in range(k):
            if not duplex:
                assert layer.key is not None
                assert layer.embedding is not None
                keys[j] = dense(layer.key, latents[i, j].numpy() + layer.embedding[j].detach().numpy())
                continue
            assert layer.weight is not None
            if before is None:
                assert layer.start is not None
                mean = layer.start[j].detach().numpy()
            else:
                part = raised(before[i].numpy(), h, w)[j]
                mean = sum(part[y, z] * queries[y, z] for y in range(h) for z in range(w)) / part.sum()
            keys[j] = mean * layer.weight.detach().numpy()
        for y in range(h):
            for z in range(w):
                logits = np.array([queries[y, z] @ keys[j] / math.sqrt(c) for j in range(k)])
                attention = np.exp(logits) / np.exp(logits).sum()
                answer = sum(attention[j] * dense(layer.value, latents[i, j].numpy()) for j in range(k))
                np.testing.assert_allclose(shares[i, :, y, z], attention, rtol=1e-5, atol=1e-7)
                want = tokens[y, z] * dense(layer.out, answer)
                np.testing.assert_allclose(got[i, :, y, z], want, rtol=1e-5, atol=1e-6)


def test_a_control_of_zero_leaves_the_normalised_map() -> None:
    layer = BipartiteAttention(8, 5, 3, duplex=True, first=True, dropout=0.0)
    with torch.no_grad():
        layer.out.weight.zero_()
    x = torch.randn(2, 8, 4, 8)
    got, _ = layer(x, torch.randn(2, 3, 5), None)
    torch.testing.assert_close(got.mean(1), torch.zeros(2, 4, 8), atol=1e-5, rtol=0)
    torch.testing.assert_close(got.var(1, unbiased=False), torch.ones(2, 4, 8), atol=1e-3, rtol=0)


def test_means_of_planted_clusters() -> None:
    """Shares that know which place belongs to which latent give the planted centres back; one k-means step from
    half-right shares brings every place to its own."""
    draw = torch.Generator().manual_seed(0)
    centres = torch.tensor([[9.0, 0.0], [0.0, 9.0], [-9.0, -9.0]])
    owner = torch.randint(3, (1, 600), generator=draw)
    queries = centres[owner] + 0.1 * torch.randn(1, 600, 2, generator=draw)
    certain = nn.functional.one_hot(owner, 3).float()
    torch.testing.assert_close(means(queries, certain)[0], centres, atol=0.05, rtol=0)
    found = means(queries, 0.5 * certain + 0.5 / 3)
    assert torch.equal((queries @ found.transpose(1, 2)).argmax(-1), owner)


def test_dropout_leaves_the_expectation() -> None:
    torch.manual_seed(0)
    layer = BipartiteAttention(4, 5, 3, duplex=True, first=True, dropout=0.3)
    x, latents = torch.randn(1, 4, 4, 8), torch.randn(1, 3, 5)
    whole, _ = layer(x, latents, None)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        mean = torch.stack([layer(x, latents, None, draw)[0] for _ in range(1000)]).mean(0)
    assert not torch.equal(layer(x, latents, None, draw)[0], whole)
    torch.testing.assert_close(mean, whole, atol=0.3, rtol=0.05)


def test_latents_attend_to_each_other() -> None:
    torch.manual_seed(0)
    layer = LatentAttention(6)
    y = torch.randn(1, 3, 6)
    q, k, v = (
        np.stack([dense_slow(part, one) for one in y[0].numpy()]) for part in (layer.query, layer.key, layer.value)
    )
    for i in range(3):
        logits = np.array([q[i] @ k[j] / math.sqrt(6) for j in range(3)])
        share = np.exp(logits) / np.exp(logits).sum()
        want = (y[0, i].numpy() + dense_slow(layer.out, share @ v)) / math.sqrt(2)
        np.testing.assert_allclose(layer(y)[0, i].detach().numpy(), want, rtol=1e-4, atol=1e-5)


def dense_slow(layer: Linear, x: np.ndarray) -> np.ndarray:
    """The same of a layer that learns 100 times slower: W stored 100 times as large."""
    weight, bias = layer.weight.detach().numpy() * 0.01, layer.bias.detach().numpy() * 0.01
    return weight @ x / math.sqrt(weight.shape[1]) + bias


@pytest.mark.parametrize("attention", ["duplex", "simplex"])
def test_gradients_reach_every_parameter(attention: str, toyland: Path) -> None:
    cfg = TINY.model_copy(update={"size": (16, 32), "attention": attention, "channel_base": 64})
    generator = Generator(cfg)
    assert len(generator.attention) == 5  # one a convolution
    z = torch.randn(2, 9, 32)
    images = generator(z, lambda h, w: torch.randn(2, 1, h, w))
    (images * torch.randn_like(images)).sum().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_each_latent_changes_the_image() -> None:
    torch.manual_seed(0)
    generator = Generator(TINY.model_copy(update={"size": (16, 32), "components": 3}))

    def draw(z: Tensor) -> Tensor:
        with torch.no_grad():
            return generator(z, lambda h, w: torch.zeros(1, 1, h, w))

    z = torch.randn(1, 4, 32)
    whole = draw(z)
    for j in range(4):
        other = z.clone()
        other[:, j] = torch.randn(32)
        assert (draw(other) - whole).abs().mean() > 0.01


def losses(run: Path, column: str) -> list[float]:
    with open(run / "log.csv", newline="") as log:
        return [float(row[column]) for row in csv.DictReader(log) if row[column]]


def test_train_sample_sweep(toyland: Path, tmp_path: Path, cli: Cli, oracle: None, without_curve: None) -> None:
    common = ("--model", "ganformer", "--dataset", toyland)
    run = tmp_path / "trained"
    setting = ("--set", "train.batch_size=4", "--set", "train.log_every=4")
    trained = cli("train", *common, *small_settings(), *setting, "--steps", 24, "--out", run)
    assert trained.code == 0, trained.err
    evaluating = losses(run, "discriminator")
    assert np.mean(evaluating[-2:]) < 2 * math.log(2) < evaluating[0] + 0.5  # what a coin costs; it starts near there
    assert np.mean(evaluating[-2:]) < evaluating[0]
    assert len(losses(run, "generator")) == 6
    assert len(losses(run, "r1")) == 2  # at steps 0 and 16
    assert (run / "previews" / "0000024.png").is_file()
    weights = run / "model.safetensors"
    card = checkpoint.read_card(weights)
    assert (card.name, tuple(card.config["size"])) == ("ganformer", (32, 64))

    given = (*common, "--checkpoint", weights)
    swept = cli("sweep", *given, "-n", 6, "--out", tmp_path / "run")
    assert swept.code == 0, swept.err
    record = Record.read(tmp_path / "run" / "record.json")
    [point] = record.points
    assert point.guidance is None
    assert record.protocol.prompts is None
    assert record.protocol.sampler == {"psi": 1.0, "precision": "fp32"}
    assert record.model.layouts == "derived:oracle"
    assert (point.scores["fd"].status, point.scores["fsd"].status) == ("ok", "ok")
    assert point.scores["miou"].reason == "the layouts are derived:oracle: they agree with a segmenter by construction"
    assert point.scores["semantic-recall"].status == "skipped"

    sampled = cli("sample", *given, "-n", 3, "--set", "sampler.psi=0.5", "--out", tmp_path / "drawn")
    assert sampled.code == 0, sampled.err
    assert len(list((tmp_path / "drawn" / "images").iterdir())) == 3
    assert not (tmp_path / "drawn" / "layouts").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("sweep", "--size", "64x64"), "ganformer draws images of 32x64 only"),
        (("sweep", "--steps", "5"), "--steps 5: ganformer draws in one pass"),
        (("sweep", "--set", "sampler.phi=1"), "unknown setting 'sampler.phi'; did you mean sampler.psi?"),
        (("sweep", "--set", "sampler.psi=-1"), "setting sampler.psi=-1 is not valid"),
        (("sample", "--prompt", "a car", "--out", "x"), "model ganformer reads no prompts"),
    ],
)
def test_what_it_cannot_do_is_said(
    more: tuple[str, ...], says: str, toyland: Path, random_weights: Path, cli: Cli, oracle: None
) -> None:
    command, *rest = more
    refused = cli(command, "--model", "ganformer", "--dataset", toyland, "--checkpoint", random_weights, "-n", 4, *rest)
    assert refused.code == 2
    assert says in refused.complaint
    assert "Traceback" not in refused.err


def test_an_image_depends_on_its_own_seed(toyland: Path, random_weights: Path) -> None:
    model = opened(toyland, random_weights)

    def draw(*seeds: int) -> Tensor:
        made = model.generate(None, n=len(seeds), size=(32, 64), guidance=1, seeds=seeds)
        assert made.layouts is None
        return made.images

    alone = draw(7)
    assert_same_images(draw(5, 6, 7, 8)[2:3], alone)
    assert_same_images(draw(8, 7)[1:], alone)
    assert not torch.equal(draw(8), alone)
    assert len({image.numpy().tobytes() for image in draw(*range(8))}) == 8


def test_truncation_draws_styles_towards_their_mean(toyland: Path, random_weights: Path) -> None:
    def spread(psi: float) -> float:
        model = opened(toyland, random_weights, settings={"sampler.psi": psi})
        with torch.no_grad():
            for name, parameter in model.network.named_parameters():
                if name.endswith("strength"):
                    parameter.zero_()  # what differs then are the styles
        made = model.generate(None, n=6, size=(32, 64), guidance=1, seeds=range(6))
        return made.images.float().std(0).mean().item()

    assert spread(0) == 0
    assert 0 < spread(0.3) < 0.8 * spread(1)


def test_a_stopped_training_goes_on_to_the_same_weights(toyland: Path, tmp_path: Path, cli: Cli) -> None:
    common = ("train", "--model", "ganformer", "--dataset", toyland, *small_settings())
    common = (*common, "--set", "train.batch_size=4", "--set", "train.micro_batch=2", "--set", "train.save_every=3")
    for out, steps in (("whole", [6]), ("parts", [3, 6])):
        for n in steps:
            resume = ["--resume"] if n != steps[0] else []
            done = cli(*common, "--steps", n, "--out", tmp_path / out, *resume)
            assert done.code == 0, done.err
    one, other = (checkpoint.load(tmp_path / out, kind="model").state for out in ("whole", "parts"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_paper_size() -> None:
    """StyleGAN2 has 25 to 30 M parameters in G at as many resolutions, 30.0 M at this width. GANformer's style has 32
    numbers where StyleGAN2's has 512, which saves 5.1 M; its attention adds 5.3 M. D is StyleGAN2's; its first linear
    layer sees 4x8 places, twice as many, 4.2 M more."""
    square = StyleGAN2Config(size=(256, 256), channel_base=32768, channel_max=512)
    with torch.device("meta"):
        generator, discriminator = Generator(PAPER), Discriminator(PAPER)
        theirs, evaluator = Synthesis(square, 512), Discriminator(square)
    assert count(generator) == pytest.approx(30e6, rel=0.05)
    assert len(generator.attention) == 11  # all convolutions up to 128x256
    widths = [512] * 9 + [256] * 2
    attention = sum(2 * c * c + 16 * c + 32 * c + 4 * c + c for c in widths) + 16 * 512
    assert count(generator.attention) == attention
    assert count(discriminator) == count(evaluator) + 512 * 512 * 16
    assert count(theirs) == pytest.approx(28e6, rel=0.01)


def test_tiny_size() -> None:
    assert count(Generator(TINY)) + count(Discriminator(TINY)) < 2.5e6


def test_r1_counts_for_the_steps_between_it(toyland: Path) -> None:
    """Of D(x) = a·x it is |a|², times γ/2, times its interval; its optimiser moves as far as without it."""
    recipe = GANformer.recipe(open_dataset(str(toyland)), SMALL | {"model.gamma": 3.0, "model.size": [32, 64]})
    a = torch.randn(3, 32, 64, generator=torch.Generator().manual_seed(0))

    class Plane(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, None]:
            return (x * a).sum((1, 2, 3)), None

    batch = Pairs(recipe.dataset, "train", (32, 64)).batch(0, 2, seed=0, flip=False)
    recipe.discriminator = Plane()
    [every] = [phase.every for phase in recipe.phases() if phase.name == "r1"]
    loss = recipe(batch, torch.Generator().manual_seed(0), "r1")["loss"]
    assert loss.item() == pytest.approx(3.0 / 2 * every * a.square().sum().item(), rel=1e-5)
