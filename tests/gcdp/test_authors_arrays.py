"""Network, losses and sampling against arrays that the authors' code made on random weights.

The arrays lie in `$GCBENCH_DATA/reference`; every file there of a kind is tested. Their label draws are plain inverse
CDFs, which `plain_draws` puts in the place of ours.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gcbench.diffusion import categorical
from gcbench.diffusion.completion import Known, complete
from gcbench.diffusion.guidance import guide
from gcbench.diffusion.joint import AUTHORS, JointProcess, ProcessConfig
from gcbench.diffusion.schedules import Schedule, continuous_log_snr
from gcbench.networks.unet import LowRes, Text, UNet, UNetConfig


def reference_root() -> Path | None:
    places = [Path(__file__).parents[3] / "shared" / "data" / "reference"]
    if "GCBENCH_DATA" in os.environ:
        places.insert(0, Path(os.environ["GCBENCH_DATA"]) / "reference")
    return next((place for place in places if place.is_dir()), None)


ROOT = reference_root()


def files(pattern: str) -> list[Any]:
    found = sorted(ROOT.glob(pattern)) if ROOT else []
    skip = pytest.mark.skip(reason="no arrays of the authors' code in $GCBENCH_DATA/reference")
    return [pytest.param(path, id=path.stem) for path in found] or [pytest.param(None, marks=skip)]


class Arrays:
    """One file: its config, and its arrays as tensors."""

    def __init__(self, path: Path):
        self._file = np.load(path)
        self.path, self.config = path, json.loads(str(self._file["config"]))

    def __getitem__(self, name: str) -> Tensor:
        array = torch.from_numpy(self._file[name])
        return array.long() if array.dtype in (torch.uint8, torch.int32) else array

    def __contains__(self, name: str) -> bool:
        return name in self._file

    def weights(self) -> dict[str, Tensor]:
        return {name[2:]: torch.from_numpy(self._file[name]) for name in self._file if name.startswith("w/")}

    def grads(self, prefix: str) -> dict[str, Tensor]:
        start = f"{prefix}grad/"
        return {name[len(start) :]: self[name] for name in self._file if name.startswith(start)}


def network(config: dict[str, Any], weights: dict[str, Tensor]) -> UNet:
    """Their network's settings under our names."""
    levels = len(config["dim_mults"])
    crosses = config["layer_cross_attns"] or [False] * levels
    unet = UNet(
        UNetConfig(
            dim=config["dim"],
            mults=config["dim_mults"],
            blocks=config["num_resnet_blocks"],
            self_attention=config["layer_attns"],
            cross_attention=crosses,
            classes=config["num_classes"],
            layout_dim=config["channels_lbl"],
            text_dim=config["text_embed_dim"],
            text_length=config["max_text_len"],
            heads=config["attn_heads"],
            dim_head=config["attn_dim_head"],
            ff_mult=config["ff_mult"],
            lowres=config["lowres_cond"],
        )
    )
    unet.load_state_dict(weights)
    return unet.eval()


def lowres(arrays: Arrays, prefix: str = "", image: str = "low_image", layout: str = "low_layout") -> LowRes | None:
    if not arrays.config["network"]["lowres_cond"]:
        return None
    return LowRes(arrays[prefix + image], arrays[prefix + layout], arrays[f"{prefix}low_log_snr"])


def read(unet: UNet, arrays: Arrays, keep: Tensor, prefix: str = "") -> Text | None:
    if not arrays.config["network"]["cond_on_text"]:
        return None
    return unet.encode_text(arrays[f"{prefix}text_embeds"], arrays[f"{prefix}text_mask"], keep)


def process(config: dict[str, Any], **settings: Any) -> JointProcess:
    label = config["label_schedule"].removesuffix("_p")
    schedules = {"image_schedule": config["image_schedule"], "label_schedule": label}
    return JointProcess(ProcessConfig(**schedules, classes=config["network"]["num_classes"], **settings))


@pytest.fixture
def plain_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every draw of a label: as many classes as there are cumulative sums, the last left out, that are ≤ u."""

    def from_probabilities(probabilities: Tensor, u: Tensor) -> Tensor:
        return (probabilities[:, :-1].cumsum(dim=1) <= u.unsqueeze(1)).sum(dim=1)

    def diffuse(y0: Tensor, alpha_bar: Tensor, classes: int, u: Tensor) -> Tensor:
        keep = alpha_bar.float().unsqueeze(1)
        one_hot = torch.nn.functional.one_hot(y0, classes).movedim(-1, 1)
        return from_probabilities(keep * one_hot + (1 - keep) / classes, u)

    def draw_posterior(y_t: Tensor, logits: Tensor, level_t: Tensor, level_s: Tensor, u: Tensor) -> Tensor:
        return from_probabilities(categorical.posterior(y_t, logits.softmax(dim=1), level_t, level_s), u)

    monkeypatch.setattr(categorical, "diffuse", diffuse)
    monkeypatch.setattr(categorical, "draw_posterior", draw_posterior)


class Recorded:
    """The noise that a run of theirs drew, handed out in their order."""

    def __init__(self, normals: list[Tensor], uniforms: list[Tensor]):
        self._normals, self._uniforms = iter(normals), iter(uniforms)

    def normal(self, *shape: int) -> Tensor:
        return next(self._normals)

    def uniform(self, *shape: int) -> Tensor:
        return next(self._uniforms)


@pytest.mark.parametrize("path", files("unet-*.npz"))
def test_network(path: Path) -> None:
    arrays = Arrays(path)
    unet = network(arrays.config["network"], arrays.weights())
    image, layout, log_snr = arrays["image"], arrays["layout"], arrays["log_snr"]
    everything = torch.ones(len(image), dtype=torch.bool)
    keeps = {"_cond": everything, "_null": ~everything}
    keeps = {**keeps, "_mixed": arrays["keep_mixed"]} if "keep_mixed" in arrays else {"": everything}
    for name, keep in keeps.items():
        with torch.no_grad():
            found = unet(image, layout, log_snr, read(unet, arrays, keep), lowres(arrays))
        torch.testing.assert_close(found.noise, arrays[f"eps{name}"], atol=5e-5, rtol=0)
        torch.testing.assert_close(found.logits, arrays[f"logits{name}"], atol=5e-5, rtol=0)


@pytest.mark.parametrize("path", files("loss-*.npz"))
@pytest.mark.usefixtures("plain_draws")
def test_losses_and_their_gradients(path: Path) -> None:
    arrays = Arrays(path)
    config = arrays.config
    unet = network(config["network"], Arrays(path.with_name(config["network_file"])).weights())
    theirs = process(config, label_scale="authors")
    for group in config["groups"]:
        get = f"{group}/"
        unet.zero_grad()
        text, low = read(unet, arrays, arrays[f"{get}keep"], get), lowres(arrays, get, "low_x_t", "low_y_t")
        seen: list[Tensor] = []

        def predict(
            x: Tensor,
            y: Tensor | None,
            log_snr: Tensor,
            text: Text | None = text,
            low: LowRes | None = low,
            seen: list[Tensor] = seen,
        ) -> Any:
            out = unet(x, y, log_snr, text, low)
            seen.extend((x, y, log_snr, *out))  # type: ignore[arg-type]
            return out

        losses = theirs.losses(
            predict,
            arrays[f"{get}x0_01"] * 2 - 1,
            arrays[f"{get}y0"],
            arrays[f"{get}t"],
            arrays[f"{get}eps"],
            arrays[f"{get}u_t"],
        )
        for found, name in zip(seen, ("x_t", "y_t", "log_snr", "eps_pred", "logits"), strict=True):
            torch.testing.assert_close(found, arrays[get + name], atol=1e-4, rtol=1e-4)
        assert float(losses.total.detach()) == pytest.approx(float(arrays[f"{get}total"]), abs=1e-4)
        losses.total.backward()
        grads = {name: parameter.grad for name, parameter in unet.named_parameters()}
        for name, expected in arrays.grads(get).items():
            error = (grads[name] - expected).abs().max() / expected.abs().max()  # type: ignore[operator]
            assert error < 2e-3, name
        norm = torch.stack([grad.norm() for grad in grads.values() if grad is not None]).norm()
        assert float(norm) == pytest.approx(float(arrays[f"{get}grad_norm"]), rel=1e-4)


def noised_lowres(arrays: Arrays) -> LowRes | None:
    """A low-resolution pair enlarged and noised at the config's time, by linear schedules of image and layout."""
    if not arrays.config["lowres"]:
        return None
    time, size = arrays.config["lowres"]["noise_level"], (arrays.config["height"], arrays.config["width"])
    image = torch.nn.functional.interpolate(arrays["low_image_01"] * 2 - 1, size)
    layout = torch.nn.functional.interpolate(arrays["low_layout"][:, None].float(), size)[:, 0].long()
    level = Schedule("linear", 1000).at(time).float()
    label_level = Schedule("linear", 1000, normalised=True).at(time).view(1, 1, 1)
    noised = level.sqrt() * image + (1 - level).sqrt() * arrays["low_noise"]
    classes = arrays.config["network"]["num_classes"]
    log_snr = continuous_log_snr("linear", torch.tensor([time] * len(image), dtype=torch.float64)).float()
    return LowRes(noised, categorical.diffuse(layout, label_level, classes, arrays["low_u"]), log_snr)


@pytest.mark.parametrize("path", files("sample-*.npz"))
@pytest.mark.usefixtures("plain_draws")
def test_sampling_with_the_preset_authors(path: Path) -> None:
    arrays = Arrays(path)
    config = arrays.config
    unet = network(config["network"], Arrays(path.with_name(config["network_file"])).weights())
    keep = torch.ones(config["batch"], dtype=torch.bool)
    text, null = read(unet, arrays, keep), None
    if config["guidance"] != 1:
        null = read(unet, arrays, ~keep)
    low = noised_lowres(arrays)
    if low is not None:
        torch.testing.assert_close(low.image, arrays["low_image_noised"], atol=1e-5, rtol=0)
        assert torch.equal(low.layout, arrays["low_layout_noised"])  # type: ignore[arg-type]
        torch.testing.assert_close(low.log_snr, arrays["low_log_snr"], atol=1e-5, rtol=0)
    read_of: list[float] = []

    def predict(x: Tensor, y: Tensor | None, log_snr: Tensor) -> tuple[Tensor, Tensor | None]:
        read_of.append(float(log_snr[0]))
        noise, logits = unet(x, y, log_snr, text, low)
        if null is None:
            return noise, logits
        without = unet(x, y, log_snr, null, low)
        return tuple(guide(a, b, config["guidance"]) for a, b in zip((noise, logits), without, strict=True))

    noise = Recorded([arrays["start_image"], *arrays["step_noise"]], [arrays["start_u"], *arrays["step_u"]])
    theirs = process(config, **AUTHORS)
    size = (config["height"], config["width"])
    with torch.no_grad():
        states = list(theirs.sample(predict, noise, size, config["steps"]))  # type: ignore[arg-type]
    assert read_of == pytest.approx(arrays["log_snr"].tolist(), abs=1e-4)
    layouts = torch.stack([state.layout for state in states])  # type: ignore[misc]
    assert int((layouts != arrays["layout_after_step"]).sum()) == 0
    for step, expected in zip(arrays["state_steps"].tolist(), arrays["state_image"], strict=True):
        torch.testing.assert_close(states[step - 1].image, expected, atol=1e-4, rtol=0)
    final = (states[-1].image.clamp(-1, 1) + 1) / 2
    torch.testing.assert_close(final, arrays["final_image_01"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("path", files("repaint-*.npz"))
@pytest.mark.usefixtures("plain_draws")
def test_completion_with_the_preset_authors(path: Path) -> None:
    """A layout, an image or half of both is known; each state before it is noised again, and the end."""
    arrays = Arrays(path)
    config = arrays.config
    unet = network(config["network"], Arrays(path.with_name(config["network_file"])).weights())
    keep = torch.ones(config["batch"], dtype=torch.bool)
    text, null = read(unet, arrays, keep), read(unet, arrays, ~keep)

    def predict(x: Tensor, y: Tensor | None, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        pairs = zip(unet(x, y, log_snr, text), unet(x, y, log_snr, null), strict=True)
        noise, logits = (guide(a, b, config["guidance"]) for a, b in pairs)
        return noise, logits

    image_where, layout_where = arrays["known_mask"].unbind(1)
    with_image, with_layout = bool(image_where.any()), bool(layout_where.any())
    known = Known(
        arrays["known_image_01"] * 2 - 1 if with_image else None,
        arrays["known_layout"] if with_layout else None,
        image_where,
        layout_where,
    )
    steps, repeats = config["steps"], config["repeats"]
    normals, uniforms = [arrays["start_image"]], [arrays["start_u"]]
    for i in range(steps):
        last = i == steps - 1
        for r in range(repeats):
            normals += [arrays["known_noise"][i, r]] * with_image + [arrays["step_noise"][i, r]] * (not last)
            uniforms += [arrays["known_u"][i, r]] * with_layout + [arrays["step_u"][i, r]]
            if not last and r < repeats - 1:
                normals.append(arrays["again_noise"][i, r])
                uniforms.append(arrays["again_u"][i, r])
    size = (config["height"], config["width"])
    with torch.no_grad():
        theirs = process(config, **AUTHORS)
        noise = Recorded(normals, uniforms)
        run = complete(theirs, predict, noise, known, size, steps, repeats=repeats, renoise="authors")  # type: ignore[arg-type]
        found = list(run)
    places = [(i, r) for i in range(steps) for r in range(repeats)][:-1]
    for (i, r), state in zip(places, found, strict=False):
        torch.testing.assert_close(state.image, arrays["state_image"][i, r], atol=1e-4, rtol=0)
        assert torch.equal(state.layout, arrays["state_layout"][i, r])  # type: ignore[arg-type]
    torch.testing.assert_close((found[-1].image + 1) / 2, arrays["final_image_01"], atol=1e-4, rtol=0)
    assert torch.equal(found[-1].layout, arrays["final_layout"])  # type: ignore[arg-type]
