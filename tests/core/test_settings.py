"""Dotted settings over configs: files, pairs, near names, wrong types."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from gcbench.core.errors import UserError
from gcbench.core.settings import apply, read_settings


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int = 3
    size: tuple[int, int] = (4, 8)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: Inner = Inner()
    rate: float = 0.5
    name: str | None = None


class Train(BaseModel):
    model_config = ConfigDict(extra="forbid")
    steps: int = 10


CONFIGS = {"model": Outer(), "train": Train()}


def test_pairs_are_json_or_text() -> None:
    found = read_settings(None, ["a.b=3", "c=[1, 2]", "d=hello", "e=null", "f=x=y", "g=1e-4"])
    assert found == {"a.b": 3, "c": [1, 2], "d": "hello", "e": None, "f": "x=y", "g": 1e-4}


def test_pairs_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[train]\nsteps = 5\n[model.inner]\nsize = [2, 2]\n")
    assert read_settings(file, ["train.steps=7"]) == {"train.steps": 7, "model.inner.size": [2, 2]}


def test_bad_files_and_pairs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.toml cannot be read"):
        read_settings(tmp_path / "gone.toml")
    (tmp_path / "bad.toml").write_text("steps = = 3")
    with pytest.raises(UserError, match=r"bad\.toml is not valid TOML"):
        read_settings(tmp_path / "bad.toml")
    with pytest.raises(UserError, match="lacks '='"):
        read_settings(None, ["train.steps"])


def test_settings_are_laid_over_configs_and_leave_them_alone() -> None:
    settings = {"model.inner.size": [2, 6], "train.steps": 99, "model.name": "x"}
    model, train = apply(CONFIGS, settings)
    assert isinstance(model, Outer)
    assert isinstance(train, Train)
    assert model.inner.size == (2, 6)
    assert model.inner.width == 3
    assert model.name == "x"
    assert train.steps == 99
    assert CONFIGS["train"] == Train()
    assert apply(CONFIGS, {}) == [Outer(), Train()]


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("train.step", r"did you mean train\.steps"),
        ("model.inner.widht", r"did you mean .*model\.inner\.width"),
        ("model.unheard_of", "unknown setting"),
        ("zzz", r"known: .*train\.steps"),
        ("model.rate.deeper", "unknown setting 'model.rate.deeper'"),
    ],
)
def test_unknown_keys_suggest_near_ones(key: str, hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        apply(CONFIGS, {key: 1})


@pytest.mark.parametrize(
    ("key", "value"), [("train.steps", "many"), ("model.inner.size", [1, 2, 3]), ("model.inner", 4), ("train", 3)]
)
def test_wrong_types_name_the_setting(key: str, value: object) -> None:
    with pytest.raises(UserError, match=f"setting {key}.* is not valid"):
        apply(CONFIGS, {key: value})
