"""DatasetDDPM's own idea: decoder features, the ensemble's vote and doubt, memory, the filter; each against a hand."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import assert_same_images, assert_same_layouts, write_toyland
from PIL import Image
from scipy.spatial.distance import jensenshannon
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gcbench.baselines.dataset_ddpm.annotator import Annotator
from gcbench.baselines.dataset_ddpm.config import PAPER, TINY
from gcbench.baselines.dataset_ddpm.ensemble import TRY, uncertainty, vote
from gcbench.baselines.dataset_ddpm.features import at_pixels, equal_times
from gcbench.baselines.dataset_ddpm.model import DatasetDDPM
from gcbench.baselines.dataset_ddpm.training import DatasetDDPMRecipe, labelled
from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, ModelOptions
from gcbench.core.errors import UserError
from gcbench.data.open_dataset import open_dataset
from gcbench.diffusion.noise import derived_seed
from gcbench.diffusion.schedules import Schedule
from gcbench.gcdp.network import TextToPair
from gcbench.training.recipe import Batch

SIZE = (32, 64)
SMALL: dict[str, Any] = {
    "model.unet.dim": 16,
    "model.unet.mults": [1, 2],
    "model.unet.blocks": [1, 1],
    "model.unet.self_attention": [False, False],
    "model.unet.cross_attention": [False, False],
    "model.decoder_blocks": ["up0.0", "up1.1", "final"],
    "model.members": 3,
    "model.sample_steps": 2,
    "model.calibration": 8,
}
WIDTHS = {"up0.0": 32, "up1.1": 16, "final": 16}
D = 3 * (32 + 16 + 16)


@pytest.fixture
def dataset(toyland: Path) -> Dataset:
    return open_dataset(str(toyland))


def recipe_of(dataset: Dataset, **settings: Any) -> DatasetDDPMRecipe:
    """The small model; its zero heads made loud, so that its samples differ."""
    recipe = DatasetDDPM.recipe(dataset, {**SMALL, **{f"model.{key}": value for key, value in settings.items()}})
    assert isinstance(recipe, DatasetDDPMRecipe)
    torch.nn.init.normal_(recipe.network.unet.final_conv.weight, std=0.4, generator=torch.Generator().manual_seed(0))
    return recipe.eval()


def real_pairs(dataset: Dataset, split: str, count: int) -> tuple[Tensor, Tensor]:
    pairs = [dataset.pair(split, i, SIZE) for i in range(count)]
    images = torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2)
    return images, torch.from_numpy(np.stack([layout for _, layout in pairs])).long()


def shaken(annotator: Annotator) -> None:
    """Loud classifiers, none of whose statistics and affine parts is that of a start: leaving one out shows."""
    generator = torch.Generator().manual_seed(1)
    for module in annotator.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                assert tensor is not None
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
            assert module.num_batches_tracked is not None
            module.num_batches_tracked += 1
        if isinstance(module, torch.nn.Linear):
            module.weight.data.mul_(20)
            module.bias.data.normal_(std=0.1, generator=generator)


# ------------------------------------------------------------------------------------------------ features


def test_noise_levels_are_those_of_the_papers_schedule() -> None:
    levels = {}
    kept = 1.0
    for i in range(1000):
        kept *= 1 - (1e-4 + (0.02 - 1e-4) * i / 999)
        levels[i] = kept
    for name in ("linear", "cosine"):
        schedule = Schedule(name, 1000)
        times = equal_times(schedule, (50, 150, 250))
        assert times == sorted(set(times))
        for t, original in zip(times, (50, 150, 250), strict=True):
            near = [abs(math.log(a / (1 - a)) - math.log(levels[original] / (1 - levels[original]))) for a in
                    (float(schedule.alpha_bar[t + i]) for i in (-1, 0, 1))]  # fmt: skip
            assert near[1] == min(near)
            assert float(schedule.alpha_bar[t]) == pytest.approx(levels[original], abs=0.005)
    assert equal_times(Schedule("linear", 4), (0, 999)) == [1, 4]


def test_features_are_what_hooks_on_the_decoder_give(dataset: Dataset) -> None:
    recipe = recipe_of(dataset)
    unet, annotator = recipe.network.unet, recipe.annotator
    images, _ = real_pairs(dataset, "val", 2)
    named = {"up0.0": unet.ups[0][0], "up1.1": unet.ups[1][1][0], "final": unet.final_res_block}
    heard: dict[str, list[Tensor]] = {name: [] for name in named}

    def listen(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: heard[name].append(output)

    handles = [module.register_forward_hook(listen(name)) for name, module in named.items()]
    schedule = Schedule("linear", 1000)
    with torch.no_grad():
        for t in equal_times(schedule, (50, 150, 250)):
            a = float(schedule.alpha_bar[t])
            x_t = math.sqrt(a) * (images / 127.5 - 1) + math.sqrt(1 - a) * annotator.noise
            unet(x_t, None, torch.full((2,), math.log(a / (1 - a))))
    for handle in handles:
        handle.remove()
    sizes = {name: maps[0].shape[1:] for name, maps in heard.items()}
    assert sizes == {"up0.0": (32, 4, 8), "up1.1": (16, 8, 16), "final": (16, 16, 32)}
    expected = torch.cat(
        [F.interpolate(one, SIZE, mode="bilinear", align_corners=False) for maps in heard.values() for one in maps], 1
    )  # [2,d,H,W]
    assert expected.shape[1] == D
    every = torch.arange(SIZE[0] * SIZE[1])
    read = annotator.features(unet, images, [every, every[[5, 700]]])
    torch.testing.assert_close(read[0], expected[0].flatten(1).T, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(read[1], expected[1].flatten(1).T[[5, 700]], rtol=1e-4, atol=1e-4)
    assert not any(module._forward_hooks for module in named.values())


def test_interpolation_is_bilinear_as_pillow_does_it() -> None:
    small = torch.rand(1, 2, 4, 6, generator=torch.Generator().manual_seed(0))
    read = at_pixels([small], 0, torch.arange(32 * 24), (32, 24))  # [HW,2]
    for channel in range(2):
        resized = Image.fromarray(small[0, channel].numpy()).resize((24, 32), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(read[:, channel].reshape(32, 24), np.asarray(resized), atol=1e-5)


def test_an_unknown_block_is_refused(dataset: Dataset) -> None:
    with pytest.raises(UserError, match=r"'up7.0'; this network has up0.0, up0.1, up1.0, up1.1, final"):
        recipe_of(dataset, decoder_blocks=["up7.0"])


# ------------------------------------------------------------------------------------------------ the vote


def logits_of(p: list[list[float]]) -> Tensor:
    """[pixels][K] probabilities -> [1,K,1,pixels]."""
    return torch.tensor(p).clamp_min(1e-30).log().T[None, :, None]


def test_the_vote_by_hand() -> None:
    said = [  # member by member, the class of each of four pixels
        [0, 2, 1, 2], [0, 2, 1, 1], [0, 2, 1, 2], [0, 2, 2, 1], [0, 2, 2, 2],
        [0, 1, 2, 1], [0, 1, 0, 2], [1, 1, 0, 1], [1, 1, 0, 0], [1, 1, 0, 0],
    ]  # fmt: skip
    members = [F.one_hot(torch.tensor(classes), 3).float().T[None, :, None] * 9 for classes in said]
    assert vote(members).labels.tolist() == [[[0, 1, 0, 1]]]  # of 5 against 5, and 4 against 4, the lower id
    assert vote(reversed(members)).labels.tolist() == [[[0, 1, 0, 1]]]


def test_a_majority_outweighs_one_who_is_surer() -> None:
    sure, doubtful = logits_of([[0.0, 1.0]]), logits_of([[0.51, 0.49]])
    assert vote([sure, doubtful, doubtful]).labels.item() == 0


def test_divergence_by_hand() -> None:
    one, other = [[1.0, 0.0], [0.3, 0.7], [0.5, 0.5]], [[0.0, 1.0], [0.3, 0.7], [1.0, 0.0]]
    divergence = vote([logits_of(one), logits_of(other)]).divergence[0, 0]
    hand = 0.75 * math.log(4 / 3) + 0.25 * math.log(4) - 0.5 * math.log(2)
    assert divergence.tolist() == pytest.approx([math.log(2), 0, hand], abs=1e-6)
    assert divergence.tolist() == pytest.approx([jensenshannon(a, b) ** 2 for a, b in zip(one, other)], abs=1e-6)  # noqa: B905
    three = [[[0.2, 0.5, 0.3]], [[0.6, 0.1, 0.3]], [[0.9, 0.05, 0.05]]]
    p = np.array(three)[:, 0]
    mean = p.mean(0)
    kl = [(q * np.log(q / mean)).sum() for q in p]  # another form of the same: the mean KL to the mixture
    assert vote([logits_of(q) for q in three]).divergence.item() == pytest.approx(np.mean(kl), abs=1e-6)


def test_uncertainty_is_the_mean_of_the_most_disputed_tenth() -> None:
    disputed = torch.zeros(2, 4, 5)
    disputed[0, 1, 2], disputed[0, 3, 4], disputed[0, 0, 0] = 0.8, 0.4, 0.1
    disputed[1] = 0.3
    assert uncertainty(disputed).tolist() == pytest.approx([0.6, 0.3])


def test_labels_equal_those_of_classifiers_on_whole_feature_maps(dataset: Dataset) -> None:
    recipe = recipe_of(dataset)
    unet, annotator = recipe.network.unet, recipe.annotator
    shaken(annotator)
    images, _ = real_pairs(dataset, "val", 2)
    every = torch.arange(SIZE[0] * SIZE[1])
    whole = annotator.features(unet, images, [every, every])  # 2 × [HW,d]
    with torch.no_grad():
        members = torch.stack([torch.stack([member(one) for one in whole]) for member in annotator.members])
    chosen = members.argmax(-1)  # [M,2,HW]
    layouts, doubts = annotator.label(unet, images)
    p = members.softmax(-1).double()
    entropy = -(p.mean(0) * p.mean(0).log()).sum(-1) + (p * p.log()).sum(-1).mean(0)  # [2,HW]
    top = entropy.sort(dim=1, descending=True).values[:, :205].mean(1)
    torch.testing.assert_close(doubts.double(), top, rtol=1e-3, atol=1e-6)
    modes = F.one_hot(chosen, 5).sum(0).argmax(-1).view(2, *SIZE)
    assert (layouts == modes).float().mean() > 0.999  # a last digit may turn a close call
    assert len(layouts.unique()) > 1


# ------------------------------------------------------------------------------------------------ few labels


class Largest(TorchDispatchMode):
    """The largest tensor that any operation gives while it is open."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


def test_memory_is_bounded(dataset: Dataset) -> None:
    recipe = recipe_of(dataset, kept_pixels=100, sample_batch=2)
    whole_map = D * SIZE[0] * SIZE[1]  # the features of one image at its own size
    batches: list[int] = []
    handle = recipe.network.unet.register_forward_pre_hook(lambda module, inputs: batches.append(len(inputs[0])))
    with Largest() as largest:
        learnt = recipe.learn_from()
    assert learnt.features.shape == (6 * 100, D)  # toyland has 6 pairs to train on, less than `labelled`
    assert learnt.classes.shape == (6 * 100,)
    assert learnt.samples.shape == (8, 3, *SIZE)
    assert max(batches) == 2
    assert largest.elements < whole_map / 2
    images, _ = real_pairs(dataset, "val", 8)
    with Largest() as largest:
        recipe.annotator.label(recipe.network.unet, images)
    assert largest.elements < whole_map  # for eight images
    handle.remove()


def test_classes_of_few_pixels_are_not_learnt_from(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = np.zeros(SIZE, np.uint8)
    layout[0, :19], layout[1, :20], layout[2, 0] = 1, 2, 3
    asked: list[int] = []

    def pair(split: str, index: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        asked.append(index)
        return np.zeros((*SIZE, 3), np.uint8), layout

    monkeypatch.setattr(dataset, "pair", pair)
    share = 20 / (SIZE[0] * SIZE[1])

    def chosen(**settings: Any) -> list[tuple[Tensor, Tensor, Tensor]]:
        return list(labelled(dataset, recipe_of(dataset, **settings).cfg, SIZE, 0))

    [(_, ids, pixels), *_] = chosen(ignored_share=share, kept_pixels=9999)
    assert sorted(ids.flatten()[pixels].unique().tolist()) == [0, 2]
    assert len(pixels) == len(pixels.unique()) == SIZE[0] * SIZE[1] - 20
    [(_, ids, pixels), *_] = chosen(ignored_share=0, kept_pixels=9999)
    assert ids.flatten()[pixels].unique().tolist() == [0, 1, 2, 3]
    [(_, ids, pixels), *_] = chosen()  # 20 of 65,536 are less than one of 2,048
    assert len(pixels) == 1024
    asked.clear()
    assert len(chosen(labelled=3)) == 3
    assert asked == [0, 2, 4]


def test_few_labelled_images_teach_the_labels_of_others(tmp_path: Path) -> None:
    """Even a network that was never trained passes on toyland's colours, which are its classes, at half the size."""
    dataset = open_dataset(str(write_toyland(tmp_path / "toyland", {"train": 30, "val": 14})))
    recipe = recipe_of(dataset, members=2, decoder_blocks=["final"])
    optimizer = torch.optim.Adam(recipe.annotator.parameters(), lr=1e-3)
    recipe.annotator.train()
    nothing = Batch(torch.empty(0), torch.empty(0), [])
    generator = torch.Generator().manual_seed(0)
    for _ in range(80):
        loss = recipe(nothing, generator, "classifiers")["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    images, layouts = real_pairs(dataset, "val", 14)
    drawn, _ = recipe.annotator.eval().label(recipe.network.unet, images)
    right, rare, named = drawn == layouts, layouts > 0, drawn > 0
    assert rare.float().mean() < 0.06  # so that chance would be right of 6 % of them at most
    assert right[rare].float().mean() > 0.4
    assert right[named].float().mean() > 0.4
    assert right.float().mean() > 0.95


# ------------------------------------------------------------------------------------------------ the model


@pytest.fixture
def weights(dataset: Dataset, tmp_path: Path) -> Path:
    recipe = recipe_of(dataset, sample_batch=3)
    shaken(recipe.annotator)
    recipe.annotator.uncertainties.zero_()
    checkpoint.save(tmp_path / "model.safetensors", recipe.weights(), recipe.card({}))
    return tmp_path / "model.safetensors"


def test_a_sample_depends_on_its_own_seed(dataset: Dataset, weights: Path) -> None:
    model = DatasetDDPM.open(dataset, ModelOptions(checkpoint=weights))
    assert (model.conditional, model.guided, model.layouts) == (False, False, True)
    seeds = [3, 14, 15, 92, 6]
    doubts = model.draw_once(seeds, 3)[2]
    model.annotator.uncertainties.fill_(float(doubts.sort().values[2:4].mean()))  # two of five are drawn again

    def draw(seeds: list[int]) -> Any:
        return model.generate(None, n=len(seeds), size=SIZE, guidance=1, seeds=seeds)

    together, backwards = draw(seeds), draw(seeds[::-1])
    assert together.layout_source == "generated"
    for i, seed in enumerate(seeds):
        alone = draw([seed])
        for other, row in ((alone, 0), (backwards, 4 - i)):
            assert_same_images(together.images[i], other.images[row])
            assert_same_layouts(together.layouts[i], other.layouts[row])
    assert not torch.equal(together.images[0], together.images[1])


def test_a_checkpoint_without_trained_classifiers_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    recipe = recipe_of(dataset)
    checkpoint.save(tmp_path / "early.safetensors", recipe.weights(), recipe.card({}))
    with pytest.raises(UserError, match=r"early.safetensors was saved before its pixel classifiers were trained"):
        DatasetDDPM.open(dataset, ModelOptions(checkpoint=tmp_path / "early.safetensors"))


def test_the_filter_takes_the_first_that_passes_else_the_least_doubtful(dataset: Dataset, weights: Path) -> None:
    model = DatasetDDPM.open(dataset, ModelOptions(checkpoint=weights, settings={"sampler.tries": 3}))
    outcomes = set()
    for seed in range(6):
        candidates = [model.draw_once([seed], 3), *(model.draw_once([derived_seed(seed, TRY, i)], 1) for i in (1, 2))]
        doubts = [float(candidate[2][0]) for candidate in candidates]
        for threshold in (min(doubts) / 2, sorted(doubts)[1], max(doubts)):
            model.annotator.uncertainties.fill_(threshold)
            passing = [i for i, doubt in enumerate(doubts) if doubt <= threshold]
            expected = passing[0] if passing else doubts.index(min(doubts))
            outcomes.add((bool(passing), expected))
            made = model.generate(None, n=1, size=SIZE, guidance=1, seeds=[seed])
            assert torch.equal(made.images[0], candidates[expected][0][0])
            assert torch.equal(made.layouts[0], candidates[expected][1][0])
    assert {(True, 0), (True, 1)} <= outcomes
    assert any(number > 0 for passed, number in outcomes if not passed)


def test_the_threshold_keeps_the_share_it_is_asked_for(dataset: Dataset, weights: Path) -> None:
    options = ModelOptions(checkpoint=weights, settings={"sampler.keep": 1})
    everything = DatasetDDPM.open(dataset, options)  # its checkpoint's uncertainties are 0: all else would be redrawn
    first = everything.draw_once([1, 2], 3)
    made = everything.generate(None, n=2, size=SIZE, guidance=1, seeds=[1, 2])
    assert torch.equal(made.images, first[0])
    assert everything.sampler()["keep"] == 1
    annotator = Annotator(everything.cfg.model_copy(update={"calibration": 40}), everything.network.unet, 5)
    assert not any(annotator.uncertainties > annotator.threshold(0.9))  # before they are measured, all pass
    annotator.uncertainties.copy_(torch.randperm(40, generator=torch.Generator().manual_seed(0)) / 40)
    assert int((annotator.uncertainties <= annotator.threshold(0.9)).sum()) == 36
    assert int((annotator.uncertainties <= annotator.threshold(0.5)).sum()) == 20


def parameter_count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameters_of_tiny_and_paper() -> None:
    with torch.device("meta"):
        network = TextToPair(PAPER)
        annotator = Annotator(PAPER, network.unet, 20)
        tiny = TextToPair(TINY)
        classifiers = Annotator(TINY, tiny.unet, 20)
    # The reference model's 697.35 M without what reads text and layout; guided-diffusion's network of the original has
    # 552.8 M, but is another: see PAPER.
    assert parameter_count(network) == pytest.approx(692.38e6, rel=1e-4)
    assert parameter_count(network) == pytest.approx(697.35e6, rel=0.05)
    assert annotator.members[0].read.in_features == 3 * (3 * 512 + 256 + 128)
    assert len(annotator.members) == 10
    mlp = (5760 + 1) * 128 + (128 + 1) * 32 + (32 + 1) * 20 + 2 * (128 + 32)
    assert parameter_count(annotator) == 10 * mlp
    assert parameter_count(tiny) == pytest.approx(4.16e6, rel=1e-3)
    assert classifiers.members[0].read.in_features == 3 * (3 * 96 + 48 + 48)
