"""Pipelines of diffusers as models: guidance, seeds, LoRA, scheduler and ControlNet on random pipelines in the official
format, each against the pipeline's own call or arithmetic on its weights."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import PALETTE, Cli, assert_same_images
from safetensors.torch import load_file, save_file

pytest.importorskip("diffusers", reason="the extra diffusers is not installed")
from tiny_pipelines import MAKERS, SIDE, random_pipeline, saved, unet

from gcbench.baselines.diffusers import guidance as meanings
from gcbench.baselines.diffusers import opening
from gcbench.baselines.diffusers import place as places
from gcbench.baselines.diffusers.model import Diffusers
from gcbench.core.contracts import Dataset, Given, ModelOptions
from gcbench.core.errors import UserError
from gcbench.core.record import Record
from gcbench.data.open_dataset import open_dataset

SIZE = (SIDE, SIDE)
TEXTS = ["a car and a tree", "sky", "road car"]


@pytest.fixture(scope="module")
def dataset(toyland: Path) -> Dataset:
    return open_dataset(str(toyland))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("pipelines")
    return lambda kind: root / kind if (root / kind).exists() else saved(root / kind, kind)


@pytest.fixture(scope="module")
def sd(folder: Callable[[str], Path]) -> Path:
    return folder("sd")


def opened(dataset: Dataset, place: Path | str, steps: int = 2, device: str = "cpu", **settings: Any) -> Diffusers:
    return Diffusers.open(dataset, ModelOptions(argument=str(place), steps=steps, settings=settings, device=device))


def draw(model: Diffusers, texts: list[str] = TEXTS, seed: int = 5, w: float = 2.0, **more: Any) -> torch.Tensor:
    seeds = range(seed, seed + len(texts))
    return model.generate(texts, n=len(texts), size=SIZE, guidance=w, seeds=seeds, **more).images


# ------------------------------------------------------------------------------------------------- images and seeds


@pytest.mark.parametrize("kind", MAKERS)
def test_an_image_is_that_of_the_pipelines_own_call(dataset: Dataset, kind: str, folder: Callable[[str], Path]) -> None:
    pipe = random_pipeline(kind)
    scale = {"true_cfg_scale": 2.0, "negative_prompt": ""} if kind == "flux" else {"guidance_scale": 2.0}
    more = {"use_resolution_binning": False, "clean_caption": False} if kind == "pixart" else {}
    noise = torch.Generator().manual_seed(5)
    [expected] = pipe(
        TEXTS[0], height=SIDE, width=SIDE, num_inference_steps=2, generator=noise, **scale, **more
    ).images  # fmt: skip
    drawn = draw(opened(dataset, folder(kind)), TEXTS[:1])
    assert_same_images(drawn, torch.from_numpy(np.array(expected)).permute(2, 0, 1)[None])
    assert drawn.float().std() > 5


@pytest.mark.parametrize("kind", MAKERS)
def test_an_image_depends_on_its_own_seed(dataset: Dataset, kind: str, folder: Callable[[str], Path]) -> None:
    """Bit for bit, at any number of images; to a grey level where three go through the pipeline together."""
    model = opened(dataset, folder(kind))
    together = draw(model)
    assert torch.equal(together[2:], draw(model, TEXTS[2:], seed=7))
    assert not torch.equal(together[2:], draw(model, TEXTS[2:], seed=8))
    batched = opened(dataset, folder(kind), batch=3)
    assert batched.sampler()["batch"] == 3
    assert_same_images(draw(batched), together)
    assert torch.equal(draw(batched, TEXTS[2:], seed=7)[0], draw(batched, [TEXTS[2]] * 2, seed=7)[0])


@pytest.mark.parametrize("scheduler", ["EulerAncestralDiscrete", "DDPM", "LCM", "DPMSolverSDE"])
def test_schedulers_that_draw_noise_keep_to_the_seed(dataset: Dataset, sd: Path, scheduler: str) -> None:
    if scheduler == "DPMSolverSDE":
        pytest.importorskip("torchsde", reason="this scheduler needs torchsde")
    model = opened(dataset, sd, scheduler=scheduler, steps=3)
    assert model.sampler()["scheduler"] == f"{scheduler}Scheduler"
    state = torch.get_rng_state()
    together = draw(model)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(together[1:], draw(model, TEXTS[1:], seed=6))


def test_a_scheduler_draws_as_in_diffusers(dataset: Dataset, sd: Path) -> None:
    from diffusers import DDIMScheduler

    pipe = random_pipeline()
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    noise = torch.Generator().manual_seed(5)
    [expected] = pipe(TEXTS[0], num_inference_steps=4, guidance_scale=2.0, generator=noise).images
    expected = torch.from_numpy(np.array(expected)).permute(2, 0, 1)[None]
    for name in ("ddim", "DDIMScheduler"):
        assert_same_images(draw(opened(dataset, sd, steps=4, scheduler=name), TEXTS[:1]), expected)


# ------------------------------------------------------------------------------------------------------- guidance


def prediction(model: Diffusers, text: str, w: float) -> torch.Tensor:
    """What the scheduler is given at the first step."""
    seen = []
    step = model.pipe.scheduler.step

    def record(output: torch.Tensor, *arguments: Any, **more: Any) -> Any:
        seen.append(output.double())
        return step(output, *arguments, **more)

    model.pipe.scheduler.step = record
    try:
        draw(model, [text], w=w)
    finally:
        model.pipe.scheduler.step = step
    return seen[0]


@pytest.mark.parametrize("kind", [*MAKERS, "auraflow", "chroma", "z-image"])
def test_guidance_is_null_plus_w_times_the_difference(
    dataset: Dataset, kind: str, folder: Callable[[str], Path]
) -> None:
    """One is plain conditional, the null text is the empty one, and the line through both holds all other scales."""
    model = opened(dataset, folder(kind))
    assert model.guided
    plain, double, fivefold = (prediction(model, TEXTS[0], w) for w in (1.0, 2.0, 5.0))
    null = 2 * plain - double
    heard = float((plain - null).abs().max())  # a scale that is off by one would be off by as much
    assert heard > 1e-5
    assert torch.allclose(fivefold, null + 5 * (plain - null), rtol=0, atol=0.05 * heard)
    if kind != "sdxl":  # its null text is a vector of zeros
        assert torch.allclose(prediction(model, "", 1.0), null, rtol=0, atol=0.05 * heard)


def test_z_image_counts_from_zero_and_an_unknown_pipeline_is_not_swept() -> None:
    def call(self: Any, prompt: str, guidance_scale: float = 4.0, num_inference_steps: int = 9) -> None: ...

    config = type("Config", (), {})()
    zero = meanings.guidance_of(type("ZImagePipeline", (), {"__call__": call, "config": config})())
    assert zero.arguments(1.0) == {"guidance_scale": 0.0}
    assert zero.arguments(3.0) == {"guidance_scale": 2.0}
    strange = meanings.guidance_of(type("StrangePipeline", (), {"__call__": call, "config": config})())
    assert strange.keyword is None
    assert strange.arguments(3.0) == {}
    assert "is not known here, so that it is drawn at its default 4.0" in strange.note


@pytest.mark.parametrize("name", [*meanings.PLAIN, *meanings.FROM_ZERO, *meanings.TRUE_SCALE])
def test_every_pipeline_of_the_lists_has_the_argument(name: str) -> None:
    import diffusers

    kind = getattr(diffusers, name, None)
    if kind is None:
        pytest.skip(f"this diffusers has no {name}")
    known = meanings.signature(kind.__call__).parameters
    assert ("true_cfg_scale" if name in meanings.TRUE_SCALE else "guidance_scale") in known


def test_a_distilled_pipeline_says_what_it_lacks(dataset: Dataset, folder: Callable[[str], Path]) -> None:
    model = opened(dataset, folder("lcm"))
    assert not model.guided
    assert model.sampler()["embedded_guidance"] == 7.5
    assert "an input of the network (embedded guidance), not a scale of ours" in str(model.describe()["note"])
    assert torch.equal(draw(model, w=1.0), draw(model, w=4.0))
    other = opened(dataset, folder("lcm"), embedded_guidance=2)
    assert not torch.equal(draw(other), draw(model))


def test_what_is_distilled_is_known_by_its_scheduler_or_said(dataset: Dataset, sd: Path, lora: Path) -> None:
    """Of an LCM-LoRA nothing else tells; what has no guidance is drawn as at w = 1, whatever the scale."""
    plain = opened(dataset, sd, lora=lora)
    assert plain.guided
    said = opened(dataset, sd, lora=lora, distilled=True)
    assert (said.guided, said.guidance.fixed["guidance_scale"]) == (False, 1.0)
    assert "is distilled, as distilled=true says: it has no guidance" in str(said.describe()["note"])
    assert torch.equal(draw(said, w=4.0), draw(plain, w=1.0))
    for name in ("LCM", "TCD"):
        known = opened(dataset, sd, lora=lora, scheduler=name)
        assert not known.guided
        assert f"as {name}Scheduler says (distilled=false takes guidance with it)" in str(known.describe()["note"])
        forced = opened(dataset, sd, lora=lora, scheduler=name, distilled=False)
        assert forced.guided
        assert torch.equal(draw(known, w=4.0), draw(forced, w=1.0))
        assert not torch.equal(draw(known, w=4.0), draw(forced, w=4.0))


def test_distilled_or_not_where_the_network_takes_guidance(dataset: Dataset, folder: Callable[[str], Path]) -> None:
    dev = opened(dataset, folder("flux"), distilled=True)
    assert (dev.guided, dev.sampler()["embedded_guidance"]) == (False, 3.5)
    assert "negative_prompt" not in dev.guidance.fixed
    assert torch.equal(draw(dev, TEXTS[:1], w=4.0), draw(opened(dataset, folder("flux")), TEXTS[:1], w=1.0))
    assert not opened(dataset, folder("lcm"), distilled=False).guided  # its network alone knows how much


def test_flux_sweeps_the_true_scale_and_says_so(
    dataset: Dataset, folder: Callable[[str], Path], tmp_path: Path
) -> None:
    dev = opened(dataset, folder("flux"))
    assert (dev.guided, dev.sampler()["embedded_guidance"]) == (True, 3.5)
    assert str(dev.describe()["note"]).endswith("not a scale of ours; what is swept is true_cfg_scale")
    schnell = opened(dataset, saved(tmp_path / "schnell", "flux", embeds=False))
    assert "embedded_guidance" not in schnell.sampler()
    assert "guidance_scale is ignored; what is swept is true_cfg_scale" in str(schnell.describe()["note"])


def test_below_one_nothing_is_drawn(dataset: Dataset, sd: Path) -> None:
    with pytest.raises(UserError, match=r"--guidance 0\.5: pipelines of diffusers turn guidance off below 1"):
        draw(opened(dataset, sd), w=0.5)


@pytest.mark.parametrize("name", ["FlowMatchHeunDiscrete", "FlowMatchLCM"])
def test_schedulers_of_flow_pipelines(dataset: Dataset, folder: Callable[[str], Path], name: str) -> None:
    model = opened(dataset, folder("sd3"), scheduler=name)
    assert model.guided is (name == "FlowMatchHeunDiscrete")
    assert torch.equal(draw(model)[1:], draw(model, TEXTS[1:], seed=6))


@pytest.mark.parametrize(
    ("kind", "steps", "scheduler", "why"),
    [
        ("sd", 5000, "DDIM", "DDIMScheduler in 5000 steps .*cannot be larger than"),
        ("sd", 60, "LCM", "LCMScheduler in 60 steps"),
        ("sdxl", 3, "PNDM", "PNDMScheduler in 3 steps"),
        ("pixart", 1, None, "DPMSolverMultistepScheduler in 1 steps"),
        ("flux", 1, "FlowMatchHeunDiscrete", "FlowMatchHeunDiscreteScheduler in 1 steps"),
    ],
)
def test_what_a_scheduler_cannot_take_is_one_sentence(
    dataset: Dataset, folder: Callable[[str], Path], kind: str, steps: int, scheduler: str | None, why: str
) -> None:
    model = opened(dataset, folder(kind), steps=steps, scheduler=scheduler)
    with pytest.raises(UserError, match=f"cannot draw with .*{why}.*; choose other --steps, or --set scheduler=NAME"):
        draw(model, TEXTS[:1])


# ---------------------------------------------------------------------------------------------------- what is added


def save_lora(place: Path, parts: dict[str, list[str]]) -> Path:
    """As diffusers' scripts save it, of random weights. parts: network -> its layers."""
    from diffusers import StableDiffusionPipeline
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model

    pipe, layers = random_pipeline(), {}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for part, names in parts.items():
            cfg = LoraConfig(r=4, lora_alpha=4, init_lora_weights=False, target_modules=names)
            network = inject_adapter_in_model(cfg, getattr(pipe, part))
            layers[f"{part}_lora_layers"] = convert_state_dict_to_diffusers(get_peft_model_state_dict(network))
    StableDiffusionPipeline.save_lora_weights(place, **layers, safe_serialization=True)
    return place


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_lora(tmp_path_factory.mktemp("lora"), {"unet": ["to_k", "to_q", "to_v", "to_out.0"]})


FACTORS = (("lora_A", "lora_B"), ("lora.down", "lora.up"), ("lora_linear_layer.down", "lora_linear_layer.up"))


def merged(lora: Path, scale: float) -> Any:
    """W + scale · B A, laid into the weights by hand."""
    factors = load_file(lora / "pytorch_lora_weights.safetensors")
    pipe = random_pipeline()
    for name, down in factors.items():
        for first, second in FACTORS:
            if f".{first}." in name:
                part, _, whose = name.replace(f".{first}", "").partition(".")
                weights = getattr(pipe, part).state_dict()
                [key] = [key for key in weights if key.endswith(whose.removeprefix("text_model."))]
                weights[key] += scale * factors[name.replace(first, second)] @ down
    return pipe


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_lora_is_the_product_of_its_factors(
    dataset: Dataset, sd: Path, lora: Path, scale: float, tmp_path: Path
) -> None:
    merged(lora, scale).save_pretrained(tmp_path / "merged")
    with_lora = opened(dataset, sd, lora=str(lora), lora_scale=scale)
    assert_same_images(draw(with_lora), draw(opened(dataset, tmp_path / "merged")))
    assert not torch.equal(draw(with_lora), draw(opened(dataset, sd)))
    assert str(with_lora.weights).startswith(f"{opened(dataset, sd).weights}+")


def test_a_lora_of_the_text_encoder(dataset: Dataset, sd: Path, tmp_path: Path) -> None:
    place = save_lora(tmp_path / "lora", {"unet": ["to_q"], "text_encoder": ["q_proj", "v_proj"]})
    merged(place, 1.0).save_pretrained(tmp_path / "merged")
    try:
        with_lora = opened(dataset, sd, lora=str(place))
    except UserError as error:
        if "version of PEFT" not in str(error):
            raise
        pytest.skip(f"transformers refuses this peft: {error}")
    assert_same_images(draw(with_lora), draw(opened(dataset, tmp_path / "merged")))


def test_what_is_refused_is_said_once(
    dataset: Dataset, folder: Callable[[str], Path], lora: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The libraries' own log says nothing beside it."""
    with pytest.raises(UserError, match="size mismatch for"):
        opened(dataset, folder("sdxl"), lora=lora)
    assert capfd.readouterr().err == ""


def test_a_lora_of_another_model_is_refused(dataset: Dataset, sd: Path, lora: Path, tmp_path: Path) -> None:
    weights = load_file(lora / "pytorch_lora_weights.safetensors")
    other = {
        "names": {name.replace("mid_block", "no_block"): value for name, value in weights.items()},
        "sizes": {name: value.repeat(2, 2) for name, value in weights.items()},
        "strange": {"a.b": torch.zeros(2, 2)},
    }
    for name, held in other.items():
        save_file({key: value.contiguous() for key, value in held.items()}, tmp_path / f"{name}.safetensors")
        with pytest.raises(UserError, match=f"lora=.*{name}.safetensors does not fit StableDiffusionPipeline"):
            opened(dataset, sd, lora=tmp_path / f"{name}.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match=r"damaged\.safetensors does not fit"):
        opened(dataset, sd, lora=tmp_path / "damaged.safetensors")
    with pytest.raises(UserError, match=r"lora=.*nowhere: give a \.safetensors file that is there"):
        opened(dataset, sd, lora=tmp_path / "nowhere")


def test_a_safety_checker_is_off_and_said(dataset: Dataset, tmp_path: Path) -> None:
    pipe = random_pipeline(checker=True)
    pipe.save_pretrained(tmp_path / "checked")
    images = []
    for _ in range(2):
        noise = torch.Generator().manual_seed(5)
        images += pipe(TEXTS[0], num_inference_steps=2, guidance_scale=2.0, generator=noise).images
        pipe.safety_checker = None
    assert np.array(images[0]).max() == 0  # it takes everything for unsafe
    model = opened(dataset, tmp_path / "checked")
    assert_same_images(draw(model, TEXTS[:1]), torch.from_numpy(np.array(images[1])).permute(2, 0, 1)[None])
    assert "no safety checker" in str(model.describe()["note"])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision(dataset: Dataset, sd: Path, precision: Any) -> None:
    model = Diffusers.open(dataset, ModelOptions(argument=str(sd), steps=2, precision=precision))
    assert model.pipe.unet.dtype == {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    near = draw(model).float() - draw(opened(dataset, sd)).float()
    assert 0 < near.abs().mean() < 8
    assert model.sampler()["precision"] == precision


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("offload", [None, "model", "sequential"])
def test_on_a_gpu(dataset: Dataset, folder: Callable[[str], Path], kind: str, offload: str | None) -> None:
    """The noise is that of the CPU, so that the images are near; a seed's image is one image there too."""
    model = opened(dataset, folder(kind), device="cuda", offload=offload)
    together = draw(model)
    assert torch.equal(together[2:], draw(model, TEXTS[2:], seed=7))
    near = together.float() - draw(opened(dataset, folder(kind))).float()
    assert near.abs().mean() < 2


def test_not_a_number_is_no_image(dataset: Dataset, tmp_path: Path) -> None:
    pipe = random_pipeline()
    pipe.unet.conv_out.weight.data.fill_(torch.nan)
    pipe.save_pretrained(tmp_path / "nan")
    with pytest.raises(FloatingPointError, match="not finite"):
        draw(opened(dataset, tmp_path / "nan"))


# -------------------------------------------------------------------------------------------------------- layouts


@pytest.fixture(scope="module")
def controlnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from diffusers import ControlNetModel

    with torch.random.fork_rng():
        torch.manual_seed(2)
        net = ControlNetModel.from_unet(unet(16), conditioning_embedding_out_channels=(8, 8, 8))
        for parameter in net.parameters():
            if not parameter.any():
                parameter.data.normal_(std=0.3)
    place = tmp_path_factory.mktemp("controlnet")
    net.save_pretrained(place)
    return place


LAYOUTS = torch.randint(5, (3, *SIZE), generator=torch.Generator().manual_seed(0))


def test_a_controlnet_sees_the_layout_in_the_palettes_colours(dataset: Dataset, sd: Path, controlnet: Path) -> None:
    from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
    from PIL import Image

    model = opened(dataset, sd, controlnet=controlnet)
    assert (model.given, model.derives, model.layouts) == ({"layouts"}, False, False)
    net = ControlNetModel.from_pretrained(controlnet)
    pipe = StableDiffusionControlNetPipeline.from_pretrained(sd, controlnet=net, safety_checker=None)
    shown = Image.fromarray(np.array(PALETTE, np.uint8)[LAYOUTS[0].numpy()])
    noise = torch.Generator().manual_seed(5)
    [expected] = pipe(TEXTS[0], shown, num_inference_steps=2, guidance_scale=2.0, generator=noise).images
    drawn = draw(model, given=Given(layouts=LAYOUTS))
    assert_same_images(drawn[:1], torch.from_numpy(np.array(expected)).permute(2, 0, 1)[None])
    assert torch.equal(drawn[2:], draw(model, TEXTS[2:], seed=7, given=Given(layouts=LAYOUTS[2:])))
    assert not torch.equal(drawn[:1], draw(model, TEXTS[:1], given=Given(layouts=LAYOUTS[1:2])))
    with pytest.raises(UserError, match=r"draws on layouts; add --given layouts \(sweep\) or --given-layouts DIR"):
        draw(model)


def test_a_palette_file(dataset: Dataset, sd: Path, controlnet: Path, tmp_path: Path) -> None:
    by_order, by_name, same = (tmp_path / f"{name}.json" for name in ("order", "name", "same"))
    colours = [[10, 20, 30], [200, 0, 0], [0, 200, 0], [0, 0, 200], [0, 0, 0]]
    by_order.write_text(json.dumps(colours[:4]))  # void is left out, and black
    by_name.write_text(json.dumps(dict(zip(dataset.classes, colours, strict=True))))
    same.write_text(json.dumps(PALETTE))
    given = Given(layouts=LAYOUTS)
    images = [
        draw(opened(dataset, sd, controlnet=controlnet, palette=file), given=given)
        for file in (by_order, by_name, same)
    ]
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[2], draw(opened(dataset, sd, controlnet=controlnet), given=given))
    assert not torch.equal(images[0], images[2])
    for held, sentence in (
        ([[1, 2, 3]], "has 1 colours for the 5 classes of toyland"),
        ({"road": [1, 2, 3]}, "has no colour for car, one of 3 classes without"),
        ([[1, 2, 256]] * 4, r"the colour of road is \[1, 2, 256\]; give three whole numbers"),
        (7, "holds neither a list of colours nor an object of them"),
    ):
        by_name.write_text(json.dumps(held))
        with pytest.raises(UserError, match=sentence):
            opened(dataset, sd, controlnet=controlnet, palette=by_name)
    with pytest.raises(UserError, match="is for a ControlNet; add --set controlnet=FOLDER"):
        opened(dataset, sd, palette=same)


def test_what_is_no_controlnet(dataset: Dataset, sd: Path, folder: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"controlnet=.* holds no config\.json"):
        opened(dataset, sd, controlnet=tmp_path)
    with pytest.raises(UserError, match="holds a UNet2DConditionModel, which is no ControlNet"):
        opened(dataset, sd, controlnet=sd / "unet")


def test_a_controlnet_that_does_not_fit_the_pipeline(
    dataset: Dataset, sd: Path, folder: Callable[[str], Path], controlnet: Path, tmp_path: Path
) -> None:
    """Known before anything is drawn."""
    with pytest.raises(UserError, match=r"is for another network: its cross_attention_dim is 16, that of .* 32; give"):
        opened(dataset, folder("sdxl"), controlnet=controlnet)
    with pytest.raises(UserError, match="if diffusers has no such pipeline with a ControlNet, leave controlnet out"):
        opened(dataset, folder("pixart"), controlnet=controlnet)
    both = tmp_path / "both"
    opened(dataset, sd, controlnet=controlnet).pipe.save_pretrained(both)
    assert opened(dataset, both).given == {"layouts"}
    with pytest.raises(UserError, match="has a ControlNet of its own; leave it out"):
        opened(dataset, both, controlnet=controlnet)


# ------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"scheduler": "DDIMM"}, r"DDIMM: there is no such that fits this pipeline's PNDMScheduler; did you mean DDIM"),
        ({"scheduler": "FlowMatchEulerDiscrete"}, "there is no such that fits"),
        ({"schedler": "DDIM"}, r"unknown setting 'sampler\.schedler'; did you mean sampler\.scheduler"),
        ({"offload": "model"}, "offload=model is for a GPU, and the device is cpu; leave it out"),
        ({"offload": "all"}, "choose model or sequential"),
        ({"batch": 0}, "at least 1"),
        ({"embedded_guidance": 2}, "takes no guidance as an input; leave it out"),
        ({"variant": "fp16"}, "cannot be opened"),
    ],
)  # fmt: skip
def test_settings_are_checked(dataset: Dataset, sd: Path, setting: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        opened(dataset, sd, **setting)


def test_sizes_that_the_autoencoder_does_not_divide(dataset: Dataset, sd: Path) -> None:
    model = opened(dataset, sd)
    assert model.size == SIZE
    with pytest.raises(UserError, match="--size 30x32: this pipeline draws sides that 4 divides"):
        model.generate(None, n=1, size=(30, 32), guidance=1.0, seeds=[0])


@pytest.mark.parametrize(
    "told",
    [
        "Failed to import diffusers.pipelines.auto_pipeline because of the following error (look up to see its"
        " traceback):\ncannot import name 'HybridCache' from 'transformers'",
        "No module named 'peft.utils.transformers_weight_conversion'",
    ],
)
def test_packages_that_do_not_fit_are_no_fault_of_the_files(told: str) -> None:
    with (
        pytest.raises(UserError, match="packages that do not fit each other are installed") as found,
        opening.refused(lambda why: f"the pipeline x cannot be opened ({why}); copy it again"),
    ):
        raise RuntimeError(told)
    assert told.splitlines()[-1] in str(found.value)
    assert str(found.value).endswith("pip install --upgrade 'gcbench[diffusers]'")


def test_damaged_pipelines(dataset: Dataset, sd: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(sd, tmp_path / "broken")
    (broken / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"cut")
    with pytest.raises(UserError, match=r"the pipeline .*broken cannot be opened"):
        opened(dataset, broken)
    pickled = shutil.copytree(sd, tmp_path / "pickled")
    (pickled / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (pickled / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle, which is never read")
    with pytest.raises(UserError, match=r"the pipeline .*pickled cannot be opened"):
        opened(dataset, pickled)
    index = json.loads((sd / "model_index.json").read_text())
    other = shutil.copytree(sd, tmp_path / "other")
    (other / "model_index.json").write_text(json.dumps({**index, "_class_name": "AudioLDM2Pipeline"}))
    with pytest.raises(UserError, match=r"the pipeline .*other cannot be opened"):
        opened(dataset, other)


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("sd", ["tokenizer/tokenizer.json"]),
        ("sd", ["tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json"]),
        ("sd3", ["tokenizer_2/tokenizer.json"]),
        ("sd3", ["tokenizer_3/tokenizer.json"]),
        ("z-image", ["tokenizer/tokenizer.json"]),
    ],
)
def test_a_vocabulary_that_is_missing_is_never_empty(
    dataset: Dataset, folder: Callable[[str], Path], tmp_path: Path, kind: str, files: list[str]
) -> None:
    """transformers opens a tokenizer of no words then, which reads all texts alike."""
    cut = shutil.copytree(folder(kind), tmp_path / "cut")
    for file in files:
        (cut / file).unlink()
    with pytest.raises(UserError, match=f"{files[0].partition('/')[0]} of .* lacks its vocabulary|cannot be opened"):
        opened(dataset, cut)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_weight_that_is_missing_is_never_random(dataset: Dataset, sd: Path, tmp_path: Path, part: str) -> None:
    place = shutil.copytree(sd, tmp_path / "copy")
    [file] = (place / part).glob("*.safetensors")
    weights = load_file(file)
    gone = next(key for key in weights if "norm" in key and key.endswith("weight"))
    del weights[gone]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=rf"the {part} of .*copy lacks 1 of its weights \(first {gone}\); copy the"):
        opened(dataset, place)


def test_reading_names_texts_that_are_cut(dataset: Dataset, sd: Path, folder: Callable[[str], Path]) -> None:
    """CLIP of the tests reads 16 tokens, two of them begin and end; T5 in PixArt 64."""
    texts = ["a b c d e f g h i j k l m n", "a b c d e f g h i j k l m n o", " "]
    reading = opened(dataset, sd).reading(texts)
    assert reading is not None
    assert (reading.cut, reading.empty) == (["000001"], ["000002"])
    reading = opened(dataset, folder("pixart")).reading([*texts, "a " * 64])
    assert reading is not None
    assert reading.cut == ["000003"]


# ----------------------------------------------------------------------------------------------------------- places


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A pipeline in the hub's cache, as a download leaves it, and no network."""
    import huggingface_hub.constants

    repository = tmp_path / "hub" / "models--nobody--tiny"
    shutil.copytree(sd, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("GCBENCH_OFFLINE", "1")
    return "nobody/tiny"


@pytest.mark.parametrize("revision", ["", "@main", f"@{COMMIT}"])
def test_a_repository_of_the_hub_is_known_by_its_commit(dataset: Dataset, sd: Path, hub: str, revision: str) -> None:
    model = opened(dataset, hub + revision)
    assert (model.weights, model.place and model.place.version) == (COMMIT[:12], f"commit {COMMIT}")
    assert COMMIT in str(model.describe()["note"])
    assert torch.equal(draw(model), draw(opened(dataset, sd)))


@pytest.mark.parametrize("name", ["nobody/tiny@v2", "nobody/other"])
def test_offline_only_what_is_in_the_cache(dataset: Dataset, hub: str, name: str) -> None:
    with pytest.raises(UserError, match=f"diffusers:{name} is not in the hub's cache and GCBENCH_OFFLINE forbids"):
        opened(dataset, name)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("RevisionNotFoundError", "there is no such revision; give a branch, a tag or a commit"),
        ("RepositoryNotFoundError", "the hub has no such repository, or it is private"),
        ("GatedRepoError", "is gated; accept its terms"),
    ],
)
def test_what_the_hub_refuses(dataset: Dataset, monkeypatch: pytest.MonkeyPatch, kind: str, sentence: str) -> None:
    import diffusers
    import huggingface_hub.errors as errors

    def download(*arguments: Any, **more: Any) -> None:
        raise getattr(errors, kind)(
            "404 Client Error", response=type("Response", (), {"headers": {}, "request": None})()
        )

    monkeypatch.delenv("GCBENCH_OFFLINE", raising=False)
    monkeypatch.setattr(diffusers.DiffusionPipeline, "download", download)
    with pytest.raises(UserError, match=f"diffusers:a/b@c.*{sentence}"):
        opened(dataset, "a/b@c")


def test_a_folder_is_known_by_its_content(sd: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(sd, tmp_path / "copy")
    (copy / "README.md").write_text("no weights")
    (copy / "single_file.safetensors").write_bytes(b"weights that the pipeline does not read")
    assert places.find(str(copy)).version == places.find(str(sd)).version
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert places.find(str(copy)).version != places.find(str(sd)).version


def test_which_texts_are_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "bare").mkdir()
    assert places.local("a/b") == Path("a/b")
    assert places.local("a/c") is None  # of the hub
    assert places.local("bare") is None
    assert places.local("./bare") == Path("bare")
    assert places.local("/nowhere/at/all") == Path("/nowhere/at/all")


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("./nowhere", "gcbench: --model diffusers:./nowhere is not there; write diffusers:./FOLDER or"),
        (
            "./empty",
            "gcbench: --model diffusers:./empty holds no model_index.json, so it is no pipeline; give the folder",
        ),
        ("a b", "gcbench: --model diffusers:a b: that is no folder and no id of the hub; write"),
        ("", "gcbench: --model diffusers:: that is no folder and no id of the hub; write"),
        ("a/b@", "gcbench: --model diffusers:a/b@: that is no folder and no id of the hub; write"),
    ],
)
def test_a_wrong_place_is_one_sentence(cli: Cli, toyland: Path, argument: str, sentence: str) -> None:
    Path("empty").mkdir()
    done = cli("sweep", "--model", f"diffusers:{argument}", "--dataset", toyland)
    assert done.code == 2
    assert done.complaint.startswith(sentence)


def test_a_wrong_place_is_refused_without_torch() -> None:
    code = """
import sys
from gcbench.core.errors import UserError
from gcbench.core.run_spec import RunSpec
try:
    RunSpec.of(model="diffusers:./nowhere")
except UserError as error:
    print(error, "torch" in sys.modules, "diffusers" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False False")


def test_other_forms_of_the_name(cli: Cli, toyland: Path, sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = cli("sweep", "--model", "diffusers", "--dataset", toyland)
    assert (done.code, "lacks its pipeline; write diffusers:./FOLDER" in done.complaint) == (2, True)
    done = cli("sweep", "--model", "gcdp:x", "--dataset", toyland)
    assert (done.code, done.complaint) == (2, "gcbench: --model gcdp:x: gcdp takes no argument; write gcdp alone")
    done = cli("sweep", "--model", f"diffusers:{sd}", "--dataset", toyland, "--checkpoint", sd / "model_index.json")
    assert "a pipeline has its weights; leave it out" in done.complaint
    monkeypatch.setitem(sys.modules, "diffusers", None)
    done = cli("sweep", "--model", f"diffusers:{sd}", "--dataset", toyland)
    assert (done.code, done.complaint) == (
        2,
        "gcbench: --model diffusers needs an extra: pip install gcbench[diffusers]",
    )


# ------------------------------------------------------------------------------------------------------ whole runs


def test_a_sweep(cli: Cli, toyland: Path, sd: Path, lora: Path, oracle: None, without_curve: None) -> None:
    asked = ["--model", f"diffusers:{sd}", "--dataset", toyland, "--guidance", "1,3", "-n", 4, "--steps", 2]
    assert cli("sweep", *asked, "--set", "scheduler=DDIM", "--set", f"lora={lora}").code == 0
    record = Record.read(Path("runs/sweep-diffusers-sd-toyland"))
    assert [point.guidance for point in record.points] == [1.0, 3.0]
    assert record.protocol.size == SIZE
    assert record.protocol.sampler["scheduler"] == "DDIMScheduler"
    assert record.model.layouts == "derived:oracle"
    assert record.model.weights is not None
    assert "+" in record.model.weights
    assert record.spec["model"] == "diffusers:sd"
    assert record.points[0].scores["semantic-recall"].status == "ok"
    assert "derived" in str(record.points[0].scores["miou"].reason)
    other = cli("sweep", *asked, "--set", "scheduler=EulerDiscrete")
    assert (other.code, "--fresh" in other.complaint) == (2, True)


def test_a_sweep_on_given_layouts(
    cli: Cli, toyland: Path, sd: Path, controlnet: Path, oracle: None, without_curve: None
) -> None:
    asked = ["--model", f"diffusers:{sd}", "--dataset", toyland, "--guidance", 2, "-n", 4, "--steps", 2]
    done = cli("sweep", *asked, "--given", "layouts", "--set", f"controlnet={controlnet}", "--out", "run")
    assert done.code == 0, done.err
    scores = Record.read(Path("run")).points[0].scores
    assert scores["layout-faithfulness"].status == "ok"
    assert "miou" not in scores
    control = ["--given-layouts", toyland / "val" / "layouts", "--set", f"controlnet={controlnet}"]
    assert cli("sample", *asked[:4], *control, "--steps", 2, "-n", 2, "--out", "drawn").code == 0
    assert json.loads(Path("drawn/run.json").read_text())["run"]["protocol"]["given"].startswith("layouts ")
    plain = cli("sweep", *asked, "--given", "layouts", "--out", "other")
    assert (plain.code, "cannot be given the layouts of its samples" in plain.complaint) == (2, True)


def test_samples_by_the_command_line(cli: Cli, toyland: Path, sd: Path) -> None:
    asked = ["sample", "--model", f"diffusers:{sd}", "--dataset", toyland, "--prompt", "a car", "--steps", 2]
    assert cli(*asked, "-n", 2, "--out", "two").code == 0
    assert cli(*asked, "-n", 1, "--seed", 1, "--precision", "fp32", "--out", "one").code == 0
    assert Path("two/images/000001.png").read_bytes() == Path("one/images/000000.png").read_bytes()


def test_several_scales_without_guidance_are_refused(cli: Cli, toyland: Path, sd: Path) -> None:
    asked = ["sample", "--model", f"diffusers:{sd}", "--dataset", toyland, "-n", "1", "--steps", "1", "--out", "drawn"]
    done = cli(*asked, "--set", "distilled=true", "--guidance", "1,2.5")
    assert done.code == 2
    assert done.complaint.startswith("gcbench: --guidance 1,2.5: diffusers:")
    assert done.complaint.endswith("has no guidance, its samples are the same at each; give one")
    assert cli(*asked, "--set", "distilled=true", "--guidance", "2.5").code == 0


def test_fp16_is_refused_by_models_that_cannot(cli: Cli, toyland: Path, gcdp: Path) -> None:
    done = cli("sweep", "--dataset", toyland, "--checkpoint", gcdp, "--precision", "fp16")
    assert (done.code, done.complaint) == (
        2,
        "gcbench: --precision fp16: gcdp draws in fp32 or bf16; choose one of these",
    )
