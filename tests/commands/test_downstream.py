"""`gcbench downstream`: what is measured, against scikit-learn and scipy; every source of pairs; stops; refusals."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import PALETTE, SIZE, Cli, content, write_toyland
from PIL import Image
from scipy import stats
from sklearn.metrics import jaccard_score

from gcbench.core.checkpoint import read_card
from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.samples import Features
from gcbench.data.open_dataset import open_dataset
from gcbench.data.pair_set import PAIRS, PairSet
from gcbench.evaluation.held_out_test import HeldOut, real_pairs
from gcbench.runs.downstream_record import Downstream, DownstreamSpec
from gcbench.training.pairs import Pairs

TINY = ("--set", "network.scale=1", "--set", "train.batch_size=2", "--steps", 2, "-n", 4)


@pytest.fixture
def pairs(toyland: Path, tmp_path: Path) -> tuple[object, ...]:
    """Options: four training pairs as finished images."""
    root = tmp_path / "finished"
    for part in ("images", "layouts"):
        (root / part).mkdir(parents=True)
        for i in range(4):
            shutil.copy(toyland / "train" / part / f"train{i:02d}.png", root / part / f"{i:06d}.png")
    return "--images", root / "images", "--layouts", root / "layouts", "--dataset", toyland


def written(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "downstream.json").read_text())
    return content


def digits(out: Path) -> list[Any]:
    arms = written(out)["arms"]
    return [(arm["arm"], arm["of"], [(one["seed"], one["miou"]) for one in arm["seeds"]], arm["miou"]) for arm in arms]


def test_means_intervals_and_differences_are_those_of_scipy(
    cli: Cli, painter: str, toyland: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    model = ("--model", f"{painter}:Painter", "--guidance", 4, "--dataset", toyland)
    done = cli("downstream", *model, *TINY, "--out", out, "--format", "json")
    assert done.code == 0, done.err
    result = written(out)
    assert result["protocol"]["n"] == 4
    assert result["protocol"]["test_n"] == 14
    assert result["models"]["painter"]["prompts"] == "train"  # never the texts of what is tested on
    values = {arm["arm"]: [one["miou"]["value"] for one in arm["seeds"]] for arm in result["arms"]}
    assert [len(value) for value in values.values()] == [3, 3, 3]
    for arm in result["arms"]:
        low, high = stats.t.interval(0.95, 2, np.mean(values[arm["arm"]]), stats.sem(values[arm["arm"]]))
        assert arm["miou"]["value"] == pytest.approx(np.mean(values[arm["arm"]]))
        assert arm["miou"]["interval"] == pytest.approx([max(low, 0), min(high, 1)])
        assert all(one["miou"]["interval"] is not None for one in arm["seeds"])
    for one in result["differences"]:
        test = stats.ttest_rel(values[one["arm"]], values["real"])
        assert one["p_value"] == pytest.approx(test.pvalue)
        assert one["miou"]["interval"] == pytest.approx(list(test.confidence_interval()))
    table = json.loads(done.out)["tables"][0]
    assert [row["name"] for row in table["rows"]][:3] == ["real", "painter: generated", "painter: both"]
    with (out / "downstream.csv").open(newline="") as file:
        lines = [row for row in csv.DictReader(file) if row["table"] == "1"]
    shown = {(row["name"], row["column"]): float(row["value"]) for row in lines if row["value"]}
    assert len(shown) == len([row for row in lines if row["value"]])  # every number says of which class it is
    for arm in result["arms"]:
        name = arm["arm"] if arm["of"] is None else f"{arm['of']}: {arm['arm']}"
        for class_, share in arm["miou"]["detail"]["per_class"].items():
            assert shown.get((name, class_)) == (None if share is None else pytest.approx(100 * share))
    assert not (out / "training").exists()
    other = cli("downstream", *model[:2], "--guidance", 2, *model[4:], *TINY, "--out", out)
    assert other.code == 2
    assert "guidance 4" in other.complaint
    assert "guidance 2" in other.complaint


@pytest.mark.parametrize("source", ["model", "finished"])
def test_each_seed_has_pairs_of_its_own_where_there_are_enough(
    cli: Cli,
    painter: str,
    pairs: tuple[object, ...],
    toyland: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
) -> None:
    trained: dict[str, list[list[bytes]]] = {}

    class Spied(PairSet):
        def __init__(self, dataset: Dataset, name: str, images: np.ndarray, layouts: np.ndarray):
            trained.setdefault(name.split("-")[-1], []).append([image.tobytes() for image in images])
            super().__init__(dataset, name, images, layouts)

    monkeypatch.setattr("gcbench.commands.segmenter_trainings.PairSet", Spied)
    drawn = ("--model", f"{painter}:Painter", "--guidance", 4, "--dataset", toyland)
    n = 2 if source == "model" else 4
    options = (*(drawn if source == "model" else pairs), *TINY, "-n", n, "--out", tmp_path / "run")
    done = cli("downstream", *options)
    assert done.code == 0, done.err
    real, generated, both = (trained[arm] for arm in ("real", "generated", "both"))
    sets = written(tmp_path / "run")["protocol"]["pair_sets"]
    assert sets == (3 if source == "model" else 1)
    assert [len(each) for each in real] == [n] * 3
    assert len({tuple(each) for each in real}) == len({tuple(each) for each in generated}) == sets
    assert len({image for each in real for image in each}) == n * sets
    assert all(sorted(all_) == sorted(a + b) for all_, a, b in zip(both, real, generated, strict=True))


def test_the_test_is_scikit_learns_jaccard_over_all_pixels(toyland: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset(str(toyland))
    rng = np.random.default_rng(1)

    class Blind:
        def __call__(self, images: torch.Tensor) -> Features:
            return Features(labels=torch.from_numpy(rng.integers(0, 4, (len(images), *SIZE))))

    seen: list[np.ndarray] = []

    def opened(role: str, text: str, dataset: Dataset, device: str) -> Any:
        blind = Blind()

        def call(images: torch.Tensor) -> Features:
            features = blind(images)
            assert features.labels is not None
            seen.append(features.labels.numpy())
            return features

        return call

    monkeypatch.setattr("gcbench.evaluation.held_out_test.open_evaluator", opened)
    images, layouts = real_pairs(dataset, "val", np.arange(14), SIZE)
    score = HeldOut(dataset, images, layouts, list(dataset.groups("val"))).score(Path("x"), "cpu")
    truth, labels = layouts.ravel(), np.concatenate(seen).ravel()
    kept = truth != dataset.void
    expected = jaccard_score(truth[kept], labels[kept], average=None, labels=range(4))
    assert score.value == pytest.approx(expected.mean())
    assert list(score.detail["per_class"].values()) == pytest.approx(list(expected))  # type: ignore[union-attr]


def test_a_stopped_run_resumes_to_the_same_digits(
    cli: Cli, pairs: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("downstream", *pairs, *TINY, "--seeds", 1, "--set", "train.save_every=1")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert cli(*command, "--out", whole).code == 0
    from gcbench.training import trainer

    steps = 0
    real_save = trainer.Run.save

    def save(self: Any, at: Any, *, preview: bool) -> None:
        nonlocal steps
        steps += 1
        real_save(self, at, preview=preview)
        if steps == 3:  # the first step of the second segmenter
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer.Run, "save", save)
    stopped = cli(*command, "--out", cut)
    assert stopped.code == 130
    assert "resumes the run" in stopped.complaint
    assert sum(len(arm["seeds"]) for arm in written(cut)["arms"]) == 1
    assert list((cut / "training").iterdir())
    again = cli(*command, "--out", cut)
    assert again.code == 0
    assert "1 of 3 segmenters are tested already" in again.err
    assert steps == 3 + 1 + 2  # nothing is trained twice
    assert digits(cut) == digits(whole)
    assert not (cut / "training").exists()


def test_kept_samples_of_a_sweep_are_taken_at_one_scale(
    cli: Cli, painter: str, toyland: Path, tmp_path: Path, oracle: None, without_curve: None
) -> None:
    run = tmp_path / "kept"
    cli("sweep", "--model", f"{painter}:Painter", "--dataset", toyland, "-n", 4, "--guidance", "2,4", "--out", run)
    refused = cli("downstream", run, "--dataset", toyland, *TINY)
    assert refused.code == 2
    assert "--keep-samples" in refused.complaint
    shutil.rmtree(run)
    sweep = ("sweep", "--model", f"{painter}:Painter", "--dataset", toyland, "-n", 4, "--keep-samples", "--out", run)
    assert cli(*sweep, "--guidance", "2,4").code == 0
    before = content(run)
    refused = cli("downstream", run, "--dataset", toyland, *TINY)
    assert refused.code == 2
    assert "at guidance 2, 4; choose one" in refused.complaint
    done = cli("downstream", run, "--dataset", toyland, *TINY, "--seeds", 1, "--guidance", 4, "--out", tmp_path / "o")
    assert done.code == 0, done.err
    info = written(tmp_path / "o")["models"]["kept"]
    assert info["guidance"] == 4
    assert info["prompts"] == "val"
    assert "captions of val, which is tested on" in done.err
    assert "One seed: nothing can be said of the spread" in " ".join(done.out.split())
    assert content(run) == before


def test_a_suites_rows_share_the_real_arm_and_those_without_pairs_are_named(
    cli: Cli, gcdp: Path, toyland: Path, tmp_path: Path, oracle: None, without_curve: None
) -> None:
    suite = tmp_path / "suite"
    for row in ("one", "two"):
        folder = suite / f"train-{row}"
        folder.mkdir(parents=True)
        for file in gcdp.parent.iterdir():
            shutil.copy(file, folder)
    common = ("--dataset", toyland, "-n", 4)
    for row in ("one", "two"):
        weights = suite / f"train-{row}" / "model.safetensors"
        more = ("--keep-samples",) if row == "one" else ("--steps", 3)
        sweep = ("sweep", "--model", "gcdp", "--checkpoint", weights, "--guidance", 2, *common)
        assert cli(*sweep, *more, "--out", suite / row).code == 0
    for row, keeping in (("real", []), ("kept", ["--keep-samples"])):
        assert cli("sweep", "--model", "real", *common, *keeping, "--out", suite / row).code == 0
    stages = [{"kind": "sweep", "row": row} for row in ("one", "two", "real", "kept")]
    (suite / "suite.json").write_text(json.dumps({"suite": "mine", "stages": stages}))
    out = tmp_path / "out"
    done = cli("downstream", suite, "--dataset", toyland, *TINY, "--seeds", 2, "--out", out)
    assert done.code == 0, done.err
    result = written(out)
    assert [(arm["arm"], arm["of"]) for arm in result["arms"]] == [
        ("real", None),
        ("generated", "one"),
        ("both", "one"),
        ("generated", "two"),
        ("both", "two"),
    ]
    assert result["models"]["two"]["sampler"]["steps"] == 3  # as it was measured
    assert result["models"]["two"]["model"]["weights"] == read_card(gcdp).sha256
    assert result["models"]["one"]["pairs"] != result["models"]["two"]["pairs"]
    assert list(result["left_out"]) == ["real", "kept"]
    assert "kept no samples" in result["left_out"]["real"]
    assert "among those tested on" in result["left_out"]["kept"]


def test_layouts_that_a_segmenter_made_are_taken_and_said(cli: Cli, pairs: tuple[object, ...], tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = cli("downstream", *pairs, *TINY, "--seeds", 1, "--derived-by", "hrnet_w48", "--out", out)
    assert done.code == 0
    assert "the layouts come from a segmenter (hrnet_w48)" in done.err
    assert "layouts come from a segmenter" in " ".join(done.out.split())


def test_a_model_that_derives_its_layouts_gets_them_from_the_datasets_segmenter(
    cli: Cli, painter: str, evaluator: str, toyland: Path, tmp_path: Path
) -> None:
    (tmp_path / "seer.py").write_text(
        Path(painter).read_text()
        + """

class Seer(Plain):
    layouts, derives = False, True

    def generate(self, prompts, **options):
        made = super().generate(prompts, **options)
        return Samples(made.images, None, None, None, made.ids)
"""
    )
    model = ("downstream", "--model", f"{tmp_path / 'seer.py'}:Seer", "--dataset", toyland, *TINY, "--seeds", 1)
    refused = cli(*model, "--out", tmp_path / "none")
    assert refused.code == 2
    assert "no segmenter is trained for 'toyland'" in refused.complaint
    out = tmp_path / "out"
    done = cli(*model, "--evaluator", evaluator, "--out", out)
    assert done.code == 0, done.err
    assert "the layouts come from a segmenter (hrnet_w18_small@toyland#" in done.err
    assert written(out)["models"]["seer"]["layouts"].startswith("derived:hrnet_w18_small@toyland#")
    assert not (out / "samples" / "seer" / "all" / "layouts").exists()


def test_other_pairs_in_the_same_directory_are_refused_and_fresh_replaces_them(
    cli: Cli, pairs: tuple[object, ...], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ("downstream", *pairs, *TINY, "--seeds", 1, "--out", out)
    assert cli(*command).code == 0
    assert cli(*command, "--ratio", "2:2").code == 0  # the same ratio
    before = content(out)
    for changed in (("--ratio", "1:2"), ("--steps", 1), ("--set", "train.lr=1e-3"), ("-n", 3)):
        refused = cli(*command, *changed)
        assert refused.code == 2
        assert "holds another run" in refused.complaint
    image = np.array(Image.open(Path(str(pairs[1])) / "000000.png"))
    image[0, 0] ^= 1
    Image.fromarray(image).save(Path(str(pairs[1])) / "000000.png")
    refused = cli(*command)
    assert refused.code == 2
    assert "pairs: " in refused.complaint
    assert content(out) == before
    assert cli(*command, "--fresh").code == 0
    assert written(out)["models"] != json.loads(before["downstream.json"])["models"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "name the pairs"),
        (("--model", "gcdp", "--images", "IMAGES", "--layouts", "LAYOUTS"), "give one of the three"),
        (("--images", "IMAGES"), "name the layouts with --layouts"),
        (("--layouts", "LAYOUTS", "--model", "gcdp"), "are for --images"),
        (("--model", "gcdp", "--ratio", "0:0"), "needs some of each"),
        (("--model", "gcdp", "--ratio", "1:0"), "needs some of each"),
        (("--model", "gcdp", "--ratio", "half"), "write generated:real"),
        (("--model", "gcdp", "--ratio", "1:99"), "more than 20"),
        (("--model", "gcdp", "--seeds", 0), "--seeds 0: at least 1"),
        (("--model", "gcdp", "--steps", 0), "--steps 0: at least 1"),
        (("--model", "gcdp", "--guidance", "1,2"), "give one"),
        (("--model", "gcdp", "-n", 1), "-n 1: at least 2"),
        (("--model", "gcpd"), "did you mean"),
        (("--model", "gcdp", "--set", "train.seed=3"), "--seeds"),
        (("--images", "IMAGES", "--layouts", "LAYOUTS", "--checkpoint", "IMAGES"), "--checkpoint is for --model"),
        (("no-such-run",), "no-such-run is not there"),
        (("--model", "gcdp", "--format", "xml"), "unknown --format"),
        (("--images", "IMAGES", "--layouts", "LAYOUTS", "-n", 5), "give fewer with -n"),
        (("--images", "IMAGES", "--layouts", "LAYOUTS", "--split", "train"), "it is trained on"),
        (("--model", "MUTE"), "draws no layouts"),
        (("--model", "real", "-n", 3), "among those tested on"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    cli: Cli, pairs: tuple[object, ...], tmp_path: Path, toyland: Path, options: tuple[object, ...], words: str
) -> None:
    known: dict[object, object] = {"IMAGES": pairs[1], "LAYOUTS": pairs[3]}
    (tmp_path / "mute.py").write_text(
        "from gcbench.baselines.real import Real\n\n\nclass Mute(Real):\n    layouts = False\n"
    )
    known["MUTE"] = f"{tmp_path / 'mute.py'}:Mute"
    given = [known.get(option, option) for option in options]
    refused = cli("downstream", *given, "--dataset", toyland, *TINY[:4], "--out", tmp_path / "out")
    assert refused.code == 2, refused.err
    assert words in refused.complaint
    assert not (tmp_path / "out" / "downstream.json").exists()


def test_a_dataset_without_held_out_pairs_is_refused(cli: Cli, tmp_path: Path, pairs: tuple[object, ...]) -> None:
    one = write_toyland(tmp_path / "one", {"train": 4})
    refused = cli("downstream", *pairs[:4], "--dataset", one)
    assert refused.code == 2
    assert "no held-out pairs to test on" in refused.complaint


def test_a_plan_writes_nothing(cli: Cli, pairs: tuple[object, ...], tmp_path: Path) -> None:
    done = cli("downstream", *pairs, *TINY, "--out", tmp_path / "out", "--plan")
    assert done.code == 0
    assert "9 trainings of 2 steps" in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("ratio", "shares"), [("1:1", (1, 1)), ("4:2", (2, 1)), ("10:30", (1, 3))])
def test_a_ratio_is_taken_in_lowest_terms(ratio: str, shares: tuple[int, int]) -> None:
    assert DownstreamSpec.of(model="gcdp", ratio=ratio).shares == shares


def test_a_pair_set_trains_on_its_pairs_and_holds_out_the_datasets(toyland: Path) -> None:
    whole = open_dataset(str(toyland))
    rng = np.random.default_rng(0)
    images, layouts = rng.integers(0, 255, (5, *SIZE, 3), np.uint8), rng.integers(0, 4, (5, *SIZE), np.uint8)
    some = PairSet(whole, "toyland-generated", images, layouts)
    held = Pairs(some, PAIRS, SIZE)
    assert (held.images == images).all()
    assert (held.layouts == layouts).all()
    assert some.splits[-1] == "val"
    assert some.ids("val") == whole.ids("val")
    assert (some.pair("val", 3, SIZE)[1] == whole.pair("val", 3, SIZE)[1]).all()
    changed = layouts.copy()
    changed[4, 0, 0] = (changed[4, 0, 0] + 1) % 4
    assert PairSet(whole, "toyland-generated", images, changed).version != some.version


def test_a_damaged_result_is_refused(tmp_path: Path) -> None:
    (tmp_path / "downstream.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        Downstream.read(tmp_path / "downstream.json")


def write_blocks(folder: Path, count: int, seed: int) -> Path:
    """Pairs of 2×4 blocks, each of a class and its colour: what a segmenter learns in a few steps."""
    rng = np.random.default_rng(seed)
    for part in ("images", "layouts"):
        (folder / part).mkdir(parents=True)
    for i in range(count):
        layout = rng.integers(0, 4, (2, 4), np.uint8).repeat(16, axis=0).repeat(16, axis=1)
        Image.fromarray(layout).save(folder / "layouts" / f"{i:06d}.png")
        Image.fromarray(np.array(PALETTE, np.uint8)[layout]).save(folder / "images" / f"{i:06d}.png")
    return folder


@pytest.mark.slow
def test_real_pairs_teach_as_real_ones_do_and_permuted_layouts_teach_nothing(cli: Cli, tmp_path: Path) -> None:
    data = write_toyland(tmp_path / "blocks", {"train": 1, "val": 1})
    for split, count, seed in (("train", 24, 1), ("val", 12, 2)):
        shutil.rmtree(data / split)
        write_blocks(data / split, count, seed)
    other = tmp_path / "other"  # the same pairs in another order: intervals over seeds hold for fixed pairs
    shutil.copytree(data / "train", other)
    quick = ("network.scale=1", "train.batch_size=4", "train.warmup=5", "train.ema=0.9")
    learning = ("--steps", 25, "-n", 24, "--dataset", data, *(word for one in quick for word in ("--set", one)))
    command = ("downstream", "--images", other / "images", "--layouts", other / "layouts", *learning)
    assert cli(*command, "--out", tmp_path / "real").code == 0
    result = written(tmp_path / "real")
    arms = {arm["arm"]: arm["miou"]["value"] for arm in result["arms"]}
    low, high = next(one for one in result["differences"] if one["arm"] == "generated")["miou"]["interval"]
    assert arms["real"] > 0.4
    assert low <= 0 <= high

    files = sorted((other / "layouts").iterdir())
    contents = [file.read_bytes() for file in files]
    for file, moved in zip(files, contents[1:] + contents[:1], strict=True):
        file.write_bytes(moved)
    assert cli(*command, "--seeds", 1, "--out", tmp_path / "permuted").code == 0
    permuted = {arm["arm"]: arm["miou"]["value"] for arm in written(tmp_path / "permuted")["arms"]}
    assert permuted["real"] == result["arms"][0]["seeds"][0]["miou"]["value"]  # the same arm, to the last digit
    assert permuted["generated"] < 0.3  # chance is 1/7, a guess among four classes of equal area
