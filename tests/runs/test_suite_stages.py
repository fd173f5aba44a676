"""The command lines of a suite: axes of seeds and splits, shards, and what must come first."""

from pathlib import Path

import pytest

from gcbench.core.errors import UserError
from gcbench.runs.suite_plan import Row, Suite, Variant, read
from gcbench.runs.suite_stages import Job, Stage

ROWS = [
    Row(model="gcdp", train=["train.lr=1e-4"], guidance=[1, 2.5]),
    Row(model="gcdp", name="heir", weights="gcdp", sample=["sampler.last_label=draw"]),
    Row(model="real"),
]


def planned(suite: Suite, only: str | None = None, shards: int = 1) -> dict[str, Stage]:
    job = Job(suite, "streets", Path("out"), "cpu", ["segmenter=a@b"], {"gcdp": 7}, shards)
    variants = [variant for row in suite.chosen(only) for variant in suite.variants(row)]
    stages = job.stages(variants)
    before: set[str] = set()
    for stage in stages:  # each comes after what it needs, and no key is there twice
        assert before >= set(stage.needs)
        assert stage.key not in before
        before.add(stage.key)
    return {stage.key: stage for stage in stages}


def option(stage: Stage, name: str) -> list[str]:
    return [value for key, value in zip(stage.command, stage.command[1:], strict=False) if key == name]


def test_seeds_and_splits_are_trainings_of_their_own() -> None:
    suite = Suite(name="s", images=10, n=4, seeds=2, splits=["train", "train25"], metrics=["fd", "miou"], row=ROWS)
    stages = planned(suite)
    of_both = [f"{split}-s{seed}" for split in ("train", "train25") for seed in (0, 1)]
    trained = [stage for stage in stages.values() if stage.kind == "train"]
    assert [stage.name for stage in trained] == [f"gcdp-{each}" for each in of_both]
    assert [option(stage, "--split") for stage in trained] == [["train"], ["train"], ["train25"], ["train25"]]
    assert option(trained[3], "--set") == ["train.lr=1e-4", "train.seed=1", "train.steps=7"]
    assert option(trained[3], "--out") == ["out/train-gcdp-train25-s1"]
    swept = [stage for stage in stages.values() if stage.kind == "sweep"]
    assert [s.name for s in swept] == [f"{name}-{each}" for name in ("gcdp", "heir") for each in of_both] + ["real"]
    heir = stages["sweep heir-train25-s1"]
    assert heir.needs == ("train gcdp-train25-s1",)
    assert option(heir, "--checkpoint") == ["out/train-gcdp-train25-s1/model.safetensors"]
    assert option(heir, "--set") == ["sampler.last_label=draw"]
    assert option(stages["sweep gcdp-train-s0"], "--guidance") == ["1,2.5"]
    for stage in swept:
        assert option(stage, "--metrics") == ["fd,miou"]
        assert option(stage, "-n") == ["4"]
        assert option(stage, "--seed") == []  # prompts and noise are the same in all rows
        assert option(stage, "--evaluator") == ["segmenter=a@b"]
    assert stages["table"].needs == tuple(stages)[:-1]


def test_sizes_and_the_split_that_texts_are_of() -> None:
    rows = [Row(model="gcdp", train=["train.lr=1e-4"])]
    stages = planned(Suite(name="s", row=rows, sizes={"streets": "32x64", "faces": "8x8"}, split="tune"))
    train, sweep = stages["train gcdp"], stages["sweep gcdp"]
    assert option(train, "--set") == ["model.size=32x64", "train.lr=1e-4", "train.steps=7"]
    assert (option(sweep, "--size"), option(sweep, "--split")) == (["32x64"], ["tune"])
    other = planned(Suite(name="s", row=rows, sizes={"faces": "8x8"}))
    assert option(other["train gcdp"], "--set") == ["train.lr=1e-4", "train.steps=7"]
    assert (option(other["sweep gcdp"], "--size"), option(other["sweep gcdp"], "--split")) == ([], [])
    with pytest.raises(UserError, match="not HxW"):
        Suite(name="s", row=rows, sizes={"streets": "large"})


def test_settings_of_all_trainings_come_before_a_rows_own() -> None:
    rows = [Row(model="gcdp", train=["train.lr=1e-4"])]
    stages = planned(Suite(name="s", row=rows, train=["train.lr=1", "train.clip=2"]))
    assert option(stages["train gcdp"], "--set") == ["train.lr=1", "train.clip=2", "train.lr=1e-4", "train.steps=7"]
    for made, seeds in (("train.steps=3", None), ("train.seed=3", 2)):
        with pytest.raises(ValueError, match="follows from the suite's"):
            Suite(name="s", row=rows, train=[made], seeds=seeds)


def test_a_row_has_splits_of_its_own() -> None:
    rows = [Row(model="gcdp", splits=["train25"]), Row(model="gcdp", name="all")]
    suite = Suite(name="s", row=rows, splits=["train", "train50"])
    assert [v.name for row in rows for v in suite.variants(row)] == ["gcdp-train25", "all-train", "all-train50"]
    assert suite.variants(Row(model="real")) == [Variant(Row(model="real"))]


def test_shards_are_merged_and_a_sweep_until_saturation_stays_whole() -> None:
    rows = [ROWS[0], Row(model="real", name="open", until_saturation=True)]
    stages = planned(Suite(name="s", images=10, n=4, row=rows), shards=3)
    assert [key for key in stages if "gcdp" in key] == [
        *("train gcdp", "sweep gcdp 1/3", "sweep gcdp 2/3", "sweep gcdp 3/3", "merge gcdp"),
    ]
    assert option(stages["sweep gcdp 2/3"], "--shard") == ["2/3"]
    assert stages["sweep gcdp 2/3"].needs == ("train gcdp",)
    assert stages["merge gcdp"].command == ("merge", "out/gcdp")
    assert stages["merge gcdp"].needs == ("sweep gcdp 1/3", "sweep gcdp 2/3", "sweep gcdp 3/3")
    assert "--shard" not in stages["sweep open"].command


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ('seeds = 2\n[[row]]\nmodel = "gcdp"\ntrain = ["train.seed=1"]', "train.seed of gcdp follows from the suite's"),
        ('splits = ["a", "a"]\n[[row]]\nmodel = "gcdp"', "splits: 'a' is there twice"),
        ('splits = ["a/b"]\n[[row]]\nmodel = "gcdp"', "a/b"),
        ('compare = ["gcdp", "x"]\n[[row]]\nmodel = "gcdp"', "compare names 'x', which is no row"),
        ('compare = ["gcdp", "gcdp"]\n[[row]]\nmodel = "gcdp"', "names one row twice"),
        ('[[row]]\nmodel = "gcdp"\n[[row]]\nmodel = "real"\nweights = "gcdp"\nsplits = ["a"]', "leave `splits` out"),
    ],
)
def test_axes_that_cannot_be(tmp_path: Path, text: str, fragment: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=fragment):
        read(path)


def test_two_rows_in_one_folder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('[[row]]\nmodel = "gcdp"\nsplits = ["a"]\n[[row]]\nmodel = "gcdp"\nname = "gcdp-a"\n')
    with pytest.raises(UserError, match="folders of the rows: 'gcdp-a' is there twice"):
        read(path)
