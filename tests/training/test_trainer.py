"""The trainer on tiny things: it learns, resumes to the same numbers, averages by its formula, logs what it did."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, Size
from gcbench.core.errors import UserError
from gcbench.gcdp.model import GCDP
from gcbench.training.ema import EMA
from gcbench.training.pairs import Pairs
from gcbench.training.phases import learning_rate
from gcbench.training.recipe import Batch, Recipe, TrainConfig
from gcbench.training.trainer import train


class Toy(Dataset):
    """Seven pairs of 8×8: a bright or dark image, and the layout that says which."""

    name = "toy"
    classes = ("dark", "bright")
    palette = ((0, 0, 0), (255, 255, 255))
    void = None
    size = (8, 8)
    splits = ("train", "val")
    aliases = {name: (name,) for name in ("dark", "bright")}  # noqa: RUF012
    resize = "none"
    version = "1"

    @classmethod
    def open(cls) -> "Toy":
        return cls()

    def ids(self, split: str) -> Sequence[str]:
        return [str(i) for i in range(7)]

    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        layout = np.zeros(size, np.uint8)
        layout[:, : index + 1] = 1
        return np.repeat(layout[..., None] * 200 + index, 3, axis=2).astype(np.uint8), layout

    def captions(self, split: str, index: int) -> Sequence[str]:
        return [f"image {index}", f"bright and dark {index}"]


class Brightness(Recipe):
    """Predicts the share of bright pixels. `noisy` adds numbers of the step's own generator."""

    def __init__(self, *, noisy: bool = False, **settings: Any):
        torch.manual_seed(0)
        base = {"steps": 10, "batch_size": 6, "lr": 0.05, "ema": 0.9, "log_every": 4, "save_every": 3}
        train_config = TrainConfig.model_validate({**base, **settings})
        super().__init__("brightness", SimpleNamespace(size=(8, 8)), Toy(), train_config)
        self.noisy = noisy
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Tanh(), nn.Linear(4, 1))
        self.previews: list[Path] = []
        self.seen: list[Tensor] = []

    def forward(self, batch: Batch, generator: torch.Generator, phase: str = "") -> dict[str, Tensor]:
        x = batch.images[:, 0].float() / 255
        if self.noisy:
            x = x + 0.1 * torch.randn(x.shape, generator=generator)
        self.seen.append(batch.images)
        error = self.body(x).squeeze(1) - batch.layouts.float().mean((1, 2))
        return {"loss": (error**2).mean(), "absolute": error.abs().mean()}

    def card(self, provenance: dict[str, Any]) -> checkpoint.Card:
        return checkpoint.Card(kind="model", name="brightness", provenance=provenance)

    def weights(self) -> dict[str, Tensor]:
        return self.body.state_dict()

    def preview(self, path: Path) -> None:
        assert not self.training
        self.previews.append(path)


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return Pairs(Toy(), "train", (8, 8))


class Stopped(Exception):
    pass


def run(
    recipe: Recipe, pairs: Pairs, out: Path, *, stop: int | None = None, resume: bool = False
) -> tuple[list[float], dict[str, Any]]:
    """Losses of the steps that ran, and the state file; `stop` kills the run in that step."""
    losses: list[float] = []

    def tick(step: int, loss: float, speed: float) -> None:
        losses.append(loss)
        assert speed > 0
        if step == stop:
            raise Stopped

    try:
        path = train(recipe, pairs, out, provenance={"command": "test"}, resume=resume, tick=tick)
        assert path == out / "model.safetensors"
    except Stopped:
        assert stop is not None
    return losses, torch.load(out / "state.pt", weights_only=True)


def rows(out: Path) -> list[dict[str, str]]:
    with open(out / "log.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)


# ------------------------------------------------------------------------------------------------ training


def test_the_loss_falls(pairs: Pairs, tmp_path: Path) -> None:
    losses, _ = run(Brightness(steps=60), pairs, tmp_path)
    assert len(losses) == 60
    assert np.mean(losses[-5:]) < 0.1 * losses[0]


def gcdp(steps: int) -> Recipe:
    unet = {
        "dim": 8,
        "mults": [1],
        "blocks": [1],
        "self_attention": [False],
        "cross_attention": [True],
        "text_length": 6,
        "latents": 2,
        "pooled": 1,
        "heads": 2,
        "dim_head": 4,
        "groups": 4,
        "init_kernels": [3],
        "patch": 1,
    }
    settings = {f"model.unet.{key}": value for key, value in unet.items()}
    settings |= {"model.text.dim": 4, "model.process.steps": 20, "model.sample_steps": 2}
    settings |= {
        "train.steps": steps,
        "train.batch_size": 7,
        "train.lr": 0.02,
        "train.warmup": 0,
        "train.save_every": 5,
    }
    return GCDP.recipe(Toy(), settings)


def test_the_reference_model_learns_and_resumes(pairs: Pairs, tmp_path: Path) -> None:
    """Joint losses fall; stopped and resumed, the same losses and weights; a preview and a usable checkpoint."""
    losses, state = run(gcdp(40), pairs, tmp_path / "whole")
    assert np.mean(losses[-8:]) < 0.7 * np.mean(losses[:4])
    assert list(rows(tmp_path / "whole")[0]) == ["step", "loss", "image", "label", "lr", "images_per_second"]
    assert (tmp_path / "whole" / "previews" / "0000040.png").stat().st_size > 0
    before, _ = run(gcdp(40), pairs, tmp_path / "parts", stop=12)
    after, resumed = run(gcdp(40), pairs, tmp_path / "parts", resume=True)
    assert before[:10] + after == losses
    assert_same(state["module"], resumed["module"])
    card = checkpoint.load(tmp_path / "whole", kind="model", name="gcdp", classes=Toy.classes).card
    assert card.config["text"]["vocabulary"] == ["0", "1", "2", "3", "4", "5", "6", "and", "bright", "dark", "image"]
    assert card.provenance["steps"] == 40


def test_a_run_of_an_earlier_version_goes_on(pairs: Pairs, tmp_path: Path) -> None:
    """Its config.json calls `sample_batch` by its old name `block`, and lacks what has come since."""
    whole, _ = run(gcdp(6), pairs, tmp_path / "whole")
    before, _ = run(gcdp(6), pairs, tmp_path / "parts", stop=6)
    config = tmp_path / "parts" / "config.json"
    held = json.loads(config.read_text())
    held["card"]["config"]["block"] = held["card"]["config"].pop("sample_batch")
    del held["card"]["config"]["cond_drop"], held["train"]["compile"]
    config.write_text(json.dumps(held))
    after, _ = run(gcdp(6), pairs, tmp_path / "parts", resume=True)
    assert before[:5] + after == whole
    held["card"]["config"]["block"] = 3
    config.write_text(json.dumps(held))
    with pytest.raises(UserError, match="other settings"):
        run(gcdp(6), pairs, tmp_path / "parts", resume=True)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("train.steps", 0, "give at least 1"),
        ("train.micro_batch", -1, "give at least 0"),
        ("train.lr", 0, "give more than 0"),
        ("train.lr", float("nan"), "give a finite number"),
        ("train.ema", 1.5, "give at most 1"),
        ("train.precision", "fp8", "choose fp32, bf16 or fp16"),
        ("model.sample_batch", 0, "give at least 1"),
        ("model.sample_steps", 21, "give 1 to 20, as the process has steps"),
        ("model.unet.patch", 0, "give at least 1"),
        ("model.process.threshold", 2, "give at most 1"),
    ],
)
def test_bounds_are_refused_in_one_sentence(key: str, value: object, allowed: str) -> None:
    with pytest.raises(UserError) as refused:
        GCDP.recipe(Toy(), {"model.process.steps": 20, "model.sample_steps": 2, key: value})
    assert str(refused.value) == f"setting {key}={value!r} is not valid: {allowed}"


def test_a_size_that_the_network_cannot_halve() -> None:
    with pytest.raises(UserError, match=r"model\.size=\[12, 20\].*multiples of 16"):
        GCDP.recipe(Toy(), {"model.size": [12, 20]})


@pytest.mark.parametrize("stop", [1, 4, 8, 10])
def test_resuming_goes_on_to_the_same_numbers(pairs: Pairs, tmp_path: Path, stop: int) -> None:
    """Killed in any step: losses, weights, averages and log end as if it had never been, bit by bit."""
    losses, state = run(Brightness(noisy=True), pairs, tmp_path / "whole")
    if stop > 3:
        run(Brightness(noisy=True), pairs, tmp_path / "parts", stop=stop)
    else:
        with pytest.raises(FileNotFoundError):  # nothing was saved yet: it starts again
            run(Brightness(noisy=True), pairs, tmp_path / "parts", stop=stop)
    rest, resumed = run(Brightness(noisy=True), pairs, tmp_path / "parts", resume=True)
    assert rest == losses[(stop - 1) // 3 * 3 :]
    assert_same(state["module"], resumed["module"])
    assert_same(state["ema"], resumed["ema"])
    assert_same(load_file(tmp_path / "whole/model.safetensors"), load_file(tmp_path / "parts/model.safetensors"))
    for a, b in zip(rows(tmp_path / "whole"), rows(tmp_path / "parts"), strict=True):
        assert {k: v for k, v in a.items() if k != "images_per_second"} == {
            k: v for k, v in b.items() if k != "images_per_second"
        }


def test_resuming_a_finished_run_changes_nothing(pairs: Pairs, tmp_path: Path) -> None:
    run(Brightness(), pairs, tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    assert run(Brightness(), pairs, tmp_path, resume=True)[0] == []
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_a_run_killed_while_it_saves_resumes(pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between any two of the files of the last step: a resumed run still ends with all of them."""
    _, state = run(Brightness(), pairs, tmp_path / "whole")
    saved = checkpoint.save

    def killed(path: Path, weights: dict[str, Tensor], card: checkpoint.Card, *rest: Any) -> None:
        if card.provenance["steps"] == 10:
            raise Stopped
        saved(path, weights, card, *rest)

    monkeypatch.setattr(checkpoint, "save", killed)
    run(Brightness(), pairs, tmp_path / "parts", stop=99)
    monkeypatch.undo()
    _, resumed = run(Brightness(), pairs, tmp_path / "parts", resume=True)
    assert_same(state["module"], resumed["module"])
    assert_same(load_file(tmp_path / "whole/model.safetensors"), load_file(tmp_path / "parts/model.safetensors"))
    assert [row["step"] for row in rows(tmp_path / "parts")] == ["4", "8", "10"]


@pytest.mark.parametrize("micro", [1, 2, 4])
def test_micro_batches_make_the_same_step(pairs: Pairs, tmp_path: Path, micro: int) -> None:
    """Even where they do not divide the batch: 4 and 2 of 6. Clipping acts on the whole gradient."""
    losses, state = run(Brightness(steps=4, clip=0.05), pairs, tmp_path / "whole")
    recipe = Brightness(steps=4, clip=0.05, micro_batch=micro)
    parts, other = run(recipe, pairs, tmp_path / "micro")
    assert max(len(images) for images in recipe.seen) == micro
    assert sum(len(images) for images in recipe.seen) == 24
    np.testing.assert_allclose(parts, losses, rtol=1e-5)
    for key, value in state["module"].items():
        torch.testing.assert_close(other["module"][key], value, rtol=1e-4, atol=1e-6)


def test_one_step_by_hand(pairs: Pairs, tmp_path: Path) -> None:
    """The first AdamW step moves every weight that has a gradient by the learning rate of step 0."""
    start = {k: v.clone() for k, v in Brightness().state_dict().items()}
    recipe = Brightness(steps=1, lr=0.01, warmup=4)
    run(recipe, pairs, tmp_path)
    moved = (recipe.body[3].bias - start["body.3.bias"]).abs().item()  # type: ignore[operator]
    assert moved == pytest.approx(0.01 / 4, rel=1e-3)


def test_half_precision_after_single(pairs: Pairs, tmp_path: Path) -> None:
    """Two trainings of different precision in one process: each gets its own."""
    run(Brightness(steps=2), pairs, tmp_path / "a")
    losses, _ = run(Brightness(steps=2, precision="bf16"), pairs, tmp_path / "b")
    whole, _ = run(Brightness(steps=2), pairs, tmp_path / "c")
    assert losses[0] == pytest.approx(whole[0], rel=0.05)
    assert losses[0] != whole[0]


# ------------------------------------------------------------------------------------------------ averages


def test_average_by_hand() -> None:
    """shadow ← d·shadow + (1-d)·weights, d = min(decay, (1+step)/(10+step)); integers are copied."""
    module = nn.BatchNorm1d(1)
    ema = EMA(module, 0.6)
    expected = 1.0
    for step in range(12):
        value = float(np.sin(step))
        with torch.no_grad():
            module.weight.fill_(value)
            module.num_batches_tracked.add_(1)
        ema.update(module, step)
        d = min(0.6, (1 + step) / (10 + step))
        expected = d * expected + (1 - d) * value
        assert float(ema.shadow["weight"]) == pytest.approx(expected, rel=1e-5)
        assert int(ema.shadow["num_batches_tracked"]) == step + 1
    assert module.weight.item() == pytest.approx(np.sin(11))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_checkpoint_holds_the_average_and_training_goes_on_from_the_weights(
    pairs: Pairs, tmp_path: Path, dtype: str
) -> None:
    recipe = Brightness(preview_every=5, weights_dtype=dtype)
    _, state = run(recipe, pairs, tmp_path)
    found = load_file(tmp_path / "model.safetensors")
    for key, value in found.items():
        assert value.dtype == getattr(torch, dtype)
        assert torch.equal(value, state["ema"][f"body.{key}"].to(value.dtype))
        assert not torch.equal(value, state["module"][f"body.{key}"].to(value.dtype))
    assert_same(dict(recipe.state_dict()), state["module"])
    assert recipe.training
    assert [path.name for path in recipe.previews] == ["0000005.png", "0000010.png"]
    card = checkpoint.read_card(tmp_path / "model.safetensors")
    assert card.provenance["command"] == "test"
    assert card.provenance["steps"] == 10


def test_weights_of_earlier_steps_are_kept(pairs: Pairs, tmp_path: Path) -> None:
    """Those of step 4 are the result of a training of 4 steps. Keeping more or less is no other training."""
    run(Brightness(keep_every=4), pairs, tmp_path / "kept")
    run(Brightness(steps=4), pairs, tmp_path / "four")
    kept = sorted(path.name for path in (tmp_path / "kept" / "kept").iterdir())
    assert kept == ["0000004.json", "0000004.safetensors", "0000008.json", "0000008.safetensors"]
    loaded = checkpoint.load(tmp_path / "kept" / "kept" / "0000004.safetensors", kind="model", name="brightness")
    assert_same(loaded.state, load_file(tmp_path / "four" / "model.safetensors"))
    assert loaded.card.provenance["steps"] == 4
    run(Brightness(steps=12, keep_every=3), pairs, tmp_path / "kept", resume=True)
    assert len(list((tmp_path / "kept" / "kept").glob("*.safetensors"))) == 3


def test_learning_rate() -> None:
    cfg = TrainConfig(steps=100, lr=1.0, warmup=10, decay=0.4)
    assert learning_rate(0, cfg) == pytest.approx(0.1)
    assert learning_rate(9, cfg) == learning_rate(60, cfg) == 1
    assert learning_rate(80, cfg) == pytest.approx(0.5)
    assert 0 < learning_rate(99, cfg) < 0.01
    constant = TrainConfig(steps=100, lr=1.0)
    assert {learning_rate(step, constant) for step in range(100)} == {1.0}


# ------------------------------------------------------------------------------------------------ log, errors


def test_the_log_holds_means(pairs: Pairs, tmp_path: Path) -> None:
    losses, _ = run(Brightness(warmup=5), pairs, tmp_path)
    found = rows(tmp_path)
    assert [row["step"] for row in found] == ["4", "8", "10"]
    assert list(found[0]) == ["step", "loss", "absolute", "lr", "images_per_second"]
    for row, part in zip(found, (losses[:4], losses[4:8], losses[8:]), strict=True):
        assert float(row["loss"]) == pytest.approx(np.mean(part))
    assert float(found[0]["lr"]) == pytest.approx(0.05 * 4 / 5)


def test_an_existing_run_is_not_overwritten(pairs: Pairs, tmp_path: Path) -> None:
    run(Brightness(), pairs, tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match="--resume"):
        run(Brightness(), pairs, tmp_path)
    with pytest.raises(UserError, match="other settings"):
        run(Brightness(lr=0.1), pairs, tmp_path, resume=True)
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_a_loss_that_is_no_number_stops_the_run(pairs: Pairs, tmp_path: Path) -> None:
    class Breaks(Brightness):
        def forward(self, batch: Batch, generator: torch.Generator, phase: str = "") -> dict[str, Tensor]:
            out = super().forward(batch, generator)
            return {"loss": out["loss"] * (torch.nan if len(self.seen) > 5 else 1)}

    with pytest.raises(UserError, match=r"nan at step 5; lower train\.lr"):
        train(Breaks(), pairs, tmp_path, provenance={})
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["step"] == 3
    assert all(value.isfinite().all() for value in state["module"].values())


def test_a_full_disk_is_one_sentence(pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0\nframe #0: ...")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match=r"cannot write .*state\.pt") as caught:
        train(Brightness(), pairs, tmp_path, provenance={})
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------ pairs


def index_of(batch: Batch) -> list[int]:
    """Which pair each image is: its darkest value says so."""
    return [int(image.min()) if image.min() < 100 else int(image.min()) - 200 for image in batch.images]


def test_batches_depend_on_seed_and_step_alone(pairs: Pairs) -> None:
    later, again = pairs.batch(5, 3, seed=1, flip=True), Pairs(Toy(), "train", (8, 8)).batch(5, 3, seed=1, flip=True)
    assert torch.equal(later.images, again.images)
    assert torch.equal(later.layouts, again.layouts)
    assert later.texts == again.texts
    assert not torch.equal(later.images, pairs.batch(6, 3, seed=1, flip=True).images)
    assert not torch.equal(later.images, pairs.batch(5, 3, seed=2, flip=True).images)
    assert later.images.shape == (3, 3, 8, 8)
    assert later.images.dtype == torch.uint8
    assert later.layouts.dtype == torch.int64


@pytest.mark.parametrize("size", [2, 7, 10])
def test_epochs_are_permutations(pairs: Pairs, size: int) -> None:
    """Whatever the batch size, each run of seven images holds every pair once; epochs differ in order."""
    order = [i for step in range(-(-21 // size)) for i in index_of(pairs.batch(step, size, seed=0, flip=False))][:21]
    epochs = [order[:7], order[7:14], order[14:]]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_texts_belong_to_their_images_and_vary(pairs: Pairs) -> None:
    texts = set()
    for step in range(8):
        batch = pairs.batch(step, 7, seed=0, flip=True)
        assert [text.split()[-1] for text in batch.texts] == [str(i) for i in index_of(batch)]
        texts.update(batch.texts)
    assert len(texts) == 14


def test_flips_turn_image_and_layout_together(pairs: Pairs) -> None:
    flipped = 0
    for step in range(20):
        batch = pairs.batch(step, 7, seed=0, flip=True)
        assert torch.equal(batch.images[:, 0] > 100, batch.layouts == 1)
        flipped += sum(
            bool(layout[0, -1] == 1) for layout, i in zip(batch.layouts, index_of(batch), strict=True) if i < 7
        )
    assert 50 < flipped < 110  # of 140; the full image of index 7 does not occur
    still = pairs.batch(0, 7, seed=0, flip=False)
    assert all(layout[0, 0] == 1 for layout in still.layouts)
