"""Dividing a folder of one split: counts by hand, groups whole, nothing overwritten, and the result is a dataset."""

import json
import os
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from gcbench.cli import app
from gcbench.core.errors import UserError
from gcbench.data import split as splitting
from gcbench.data.dataset_summary import capabilities, summarise
from gcbench.data.folder import Config, Folder, group_of
from gcbench.data.split import plan_split, write_split

TOML = '# mine\nname = "pets"\nclasses = ["cat", "dog", "nothing"]\nvoid = 2\n[aliases]\n"cat" = ["kitty", "cat"]\n'


def folder(root: Path, stems: list[str], prompts: list[dict] | None = None, toml: str = TOML) -> Folder:
    rng = np.random.default_rng(0)
    for part in ("images", "layouts"):
        (root / part).mkdir(parents=True)
    for stem in stems:
        Image.fromarray(rng.integers(0, 255, (16, 24, 3), np.uint8)).save(root / "images" / f"{stem}.png")
        Image.fromarray(rng.integers(0, 3, (16, 24), np.uint8)).save(root / "layouts" / f"{stem}.png")
    (root / "dataset.toml").write_text(toml)
    if prompts is not None:
        (root / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    return Folder(root)


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_exact_counts_and_every_pair_once(tmp_path: Path) -> None:
    stems = [f"x{i:03d}" for i in range(50)]
    data = folder(tmp_path / "mine", stems, [{"file_name": f"{s}.png", "text": [f"a cat called {s}"]} for s in stems])
    before = tree(data.root)
    write_split(data, plan_split(data, val=0.2, test=0.1), tmp_path / "out")
    divided = Folder(tmp_path / "out")
    assert divided.splits == ("train", "test", "val")
    assert [len(divided.ids(split)) for split in divided.splits] == [35, 5, 10]
    assert sorted(name for split in divided.splits for name in divided.ids(split)) == stems
    for split in divided.splits:
        rows = (tmp_path / "out" / split / "prompts.jsonl").read_text().splitlines()
        assert [json.loads(row)["file_name"] for row in rows] == [f"{name}.png" for name in divided.ids(split)]
        for i, name in enumerate(divided.ids(split)):
            assert divided.captions(split, i) == (f"a cat called {name}",)
            for part in ("images", "layouts"):
                copied = (tmp_path / "out" / split / part / f"{name}.png").read_bytes()
                assert copied == before[f"{part}/{name}.png"]
    assert (divided.name, divided.classes, divided.void) == (data.name, data.classes, data.void)
    assert (divided.aliases, divided.palette, divided.size) == (data.aliases, data.palette, data.size)
    assert tree(data.root) == before
    assert sorted(os.listdir(tmp_path)) == ["mine", "out"]


def test_a_seed_is_a_division(tmp_path: Path) -> None:
    data = folder(tmp_path / "mine", [f"{i}" for i in range(30)])
    chosen = [[pair.id for pair in plan_split(data, 0.3, seed=seed).splits["val"]] for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=3, max_size=12),
    val=st.floats(0.01, 0.5),
    test=st.one_of(st.just(0.0), st.floats(0.01, 0.45)),
    seed=st.integers(0, 5),
)
def test_groups_are_never_cut(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], val: float, test: float, seed: int
) -> None:
    data = folder(tmp_path_factory.mktemp("d") / "mine", ["a"])
    pair = data.found["val"][0]
    pairs = [
        splitting.Pair(f"{g}-{i}", pair.image, pair.layout, f"g{g}")
        for g, size in enumerate(sizes)
        for i in range(size)
    ]
    data.found = {"val": pairs}
    plan = plan_split(data, val, test, seed)
    holding = {split: {pair.group for pair in part} for split, part in plan.splits.items()}
    assert sum(map(len, holding.values())) == len(sizes)  # no group in two splits
    assert sorted(pair.id for part in plan.splits.values() for pair in part) == sorted(pair.id for pair in pairs)
    assert all(holding.values())
    assert abs(len(plan.splits["val"]) - val * len(pairs)) <= max(sizes)


def test_groups_of_prompts_and_of_names(tmp_path: Path) -> None:
    stems = [f"v{i // 3}_{i}" for i in range(30)]
    named = folder(
        tmp_path / "named", stems, [{"file_name": s, "text": "x", "group": s.partition("_")[0]} for s in stems]
    )
    write_split(named, plan_split(named, 0.3), tmp_path / "a")
    divided = Folder(tmp_path / "a")
    assert not set(divided.groups("train")) & set(divided.groups("val"))
    assert len(divided.ids("val")) == 9
    with pytest.raises(UserError, match="names groups already"):
        plan_split(named, 0.3, group_by="*_")

    unnamed = folder(tmp_path / "unnamed", stems)
    assert unnamed.groups("val") == unnamed.ids("val")
    write_split(unnamed, plan_split(unnamed, 0.3, group_by="*_"), tmp_path / "b")
    divided = Folder(tmp_path / "b")
    assert set(divided.groups("val")) | set(divided.groups("train")) == {f"v{i}_" for i in range(10)}
    assert not set(divided.groups("train")) & set(divided.groups("val"))
    assert not (tmp_path / "b" / "val" / "prompts.jsonl").exists()


def test_patterns_of_groups() -> None:
    path = Path("x.png")
    assert group_of("aachen_000001_7", "*_", path) == "aachen_"
    assert group_of("aachen_000001_7", "*_*_", path) == "aachen_000001_"
    assert group_of("aachen_000001_7", "aa", path) == "aa"
    for pattern, message in (
        ("*-", "fits no beginning"),
        ("b*_", "fits no"),
        ("a*", "where a group ends"),
        ("", "ends"),
    ):
        with pytest.raises(UserError, match=message):
            group_of("aachen_000001_7", pattern, path)


def test_links_share_their_bytes(tmp_path: Path) -> None:
    data = folder(tmp_path / "mine", [f"{i}" for i in range(5)])
    write_split(data, plan_split(data, 0.2), tmp_path / "out", link=True)
    image = next((tmp_path / "out" / "val" / "images").iterdir())
    assert image.samefile(tmp_path / "mine" / "images" / image.name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--val", "0"], "is no share"),
        (["--val", "1"], "is no share"),
        (["--val", "-0.1"], "is no share"),
        (["--val", "nan"], "is no share"),
        (["--val", "inf"], "is no share"),
        (["--val", "0.6", "--test", "0.4"], "nothing to train on"),
        (["--test", "-0.4"], "is no share"),
        (["--seed", "-1"], "negative"),
        (["--group-by", "*"], "where a group ends"),
        (["--group-by", "x"], r"too few groups of pairs \(1\) for 2 splits"),
    ],
)
def test_nonsense_is_refused_and_nothing_written(tmp_path: Path, arguments: list[str], message: str) -> None:
    folder(tmp_path / "mine", [f"x{i}" for i in range(10)])
    result = CliRunner().invoke(
        app, ["data", "split", str(tmp_path / "mine"), "--out", str(tmp_path / "o"), *arguments]
    )
    assert isinstance(result.exception, UserError)
    assert re.search(message, str(result.exception)), result.exception
    assert os.listdir(tmp_path) == ["mine"]


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    data = folder(tmp_path / "mine", [f"{i}" for i in range(5)])
    plan = plan_split(data, 0.2)
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for place in ("file", "full", "dangling", "mine"):
        with pytest.raises(UserError, match="stays as it is"):
            write_split(data, plan, tmp_path / place)
    (tmp_path / "empty").mkdir()
    write_split(data, plan, tmp_path / "empty")
    assert Folder(tmp_path / "empty").splits == ("train", "val")
    with pytest.raises(UserError, match="already"):
        plan_split(Folder(tmp_path / "empty"), 0.2)


def test_all_or_nothing(tmp_path: Path) -> None:
    data = folder(tmp_path / "mine", [f"{i}" for i in range(5)])
    plan = plan_split(data, 0.2)
    (tmp_path / "mine" / "layouts" / "3.png").unlink()
    with pytest.raises(UserError, match=r"cannot read the file .*3\.png \(No such file"):
        write_split(data, plan, tmp_path / "out")

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_split(data, plan, tmp_path / "out", progress=interrupt)
    assert os.listdir(tmp_path) == ["mine"]
    with pytest.raises(UserError, match="lack their counterpart"):
        plan_split(Folder(tmp_path / "mine"), 0.2)


@given(
    st.builds(
        Config,
        name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        classes=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=5),
        palette=st.none() | st.lists(st.lists(st.integers(0, 255), min_size=3, max_size=3), max_size=3),
        void=st.none() | st.integers(0, 9) | st.text(st.characters(exclude_categories=["Cs"])),
        size=st.none() | st.lists(st.integers(1, 99), min_size=2, max_size=2),
        group_by=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
        aliases=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.text("ab\"\\'"))),
    )
)
def test_a_written_config_reads_back(config: Config) -> None:
    assert Config.model_validate(tomllib.loads(config.toml())) == config


def test_check_says_what_is_missing_and_the_division_supplies_it(tmp_path: Path) -> None:
    data = folder(tmp_path / "mine", [f"v{i // 5}_{i}" for i in range(40)])

    def answers(data: Folder) -> dict[str, tuple[str, str]]:
        return {subject: (answer, why) for subject, answer, why in capabilities(data, summarise(data))}

    before = answers(data)
    assert before["training"][0] == "no"
    assert "gcbench data split" in before["training"][1]
    assert before["evaluation on val"] == ("yes", "against val, 40 pairs")
    assert before["groups"][0] == "none"
    assert before["texts"][0] == "built"
    write_split(data, plan_split(data, 0.25, group_by="*_"), tmp_path / "out")
    after = answers(Folder(tmp_path / "out"))
    assert after["training"] == ("yes", "on train, 30 pairs in 6 groups")
    assert "2 groups; intervals are wide" in after["evaluation on val"][1]
    assert after["groups"] == ("yes", "6 in train, 2 in val; intervals never cut one")


def test_check_sees_a_group_on_both_sides_and_texts_that_name_nothing(tmp_path: Path) -> None:
    rows = [{"file_name": f"{i}", "text": "nothing known", "group": "g"} for i in range(4)]
    for split in ("train", "val"):
        folder(tmp_path / "mine" / split, [f"{i}" for i in range(4)], rows)
    (tmp_path / "mine" / "dataset.toml").write_text(TOML)
    data = Folder(tmp_path / "mine")
    found = {subject: (answer, why) for subject, answer, why in capabilities(data, summarise(data))}
    assert found["groups"][0] == "shared"
    assert found["texts"][0] == "yes"
    assert "[aliases]" in found["texts"][1]
    assert "without intervals" in found["evaluation on val"][1]


def test_too_few_pairs_to_evaluate(tmp_path: Path) -> None:
    data = folder(tmp_path / "mine", ["a", "b", "c"])
    found = {subject: answer for subject, answer, _ in capabilities(data, summarise(data))}
    assert found["evaluation on val"] == "no"


def test_the_result_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "mine", [f"x{i}" for i in range(10)])
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    assert runner.invoke(app, ["data", "split", "./mine", "--out", "./divided"]).exit_code == 0
    small = {
        "model.unet.dim": "8",
        "model.unet.mults": "[1]",
        "model.unet.blocks": "[1]",
        "model.unet.self_attention": "[false]",
        "model.unet.cross_attention": "[true]",
        "train.batch_size": "2",
    }
    settings = [part for key, value in small.items() for part in ("--set", f"{key}={value}")]
    train = ["train", "--model", "gcdp", "--dataset", "./divided", "--steps", "2", "--out", "run", *settings]
    result = runner.invoke(app, train)
    assert result.exit_code == 0, result.exception
    assert (tmp_path / "run" / "model.safetensors").is_file()
