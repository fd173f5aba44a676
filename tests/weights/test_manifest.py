"""The manifest that is shipped."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
from pydantic import ValidationError

from gcbench.core.registry import registry
from gcbench.networks.text import TextConfig
from gcbench.weights.manifest import Entry, find_entry, place, read_manifest

NAMES = [
    "inception-2015-12-05",
    "clip-vit-l-14-336",
    "dinov2-vitl14",
    "hrnet-w48-cityscapes",
    "hrnet-w48-cityscapes-hrnet",
]
T5 = "t5-large"


def test_it_is_in_the_package_and_holds_what_evaluators_and_models_ask_for() -> None:
    assert files("gcbench.weights").joinpath("manifest.json").is_file()
    assert list(read_manifest()) == [*NAMES, T5]
    assert TextConfig().name == T5


def test_the_folder_of_t5_holds_what_transformers_reads_and_no_pickle() -> None:
    """Of one fixed revision of the hub, so that the hash stays true; the weights' is the one that the hub shows."""
    entry = find_entry(T5)
    assert [file.file for file in entry.files] == [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "model.safetensors",
    ]
    for file in entry.files:
        assert re.fullmatch(rf"https://huggingface.co/google-t5/t5-large/resolve/[0-9a-f]{{40}}/{file.file}", file.url)
    assert len({file.url.rpartition("/")[0] for file in entry.files}) == 1
    assert entry.proof() == "SHA-256"


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_is_consistent_in_itself(name: str) -> None:
    entry = find_entry(name)
    assert entry.role in registry("evaluators")
    assert entry.url.startswith("https://")
    assert entry.url.endswith("/" + entry.file)
    assert entry.licence
    digits = re.search(r"-([0-9a-f]{8})\.pth$", entry.file)
    known = entry.sha256 or entry.sha256_prefix
    assert bool(digits) == bool(known)  # a hash in the name is a hash in the entry, and no hash comes from elsewhere
    if digits:
        assert known is not None
        assert known.startswith(digits[1])


def test_a_file_name_stays_in_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GCBENCH_WEIGHTS", str(tmp_path))
    entry = find_entry(NAMES[0])
    assert place(NAMES[0], entry) == tmp_path / NAMES[0] / entry.file
    for file in ("../evil.pth", "/etc/evil.pth", "a\\evil.pth"):
        with pytest.raises(ValidationError):
            Entry.model_validate(entry.model_dump() | {"file": file})


def test_what_can_be_verified_is_said() -> None:
    assert [find_entry(name).proof() for name in NAMES] == [
        "SHA-256",
        "nothing: neither its size nor its hash is published",
        "nothing: neither its size nor its hash is published",
        "first 8 digits of SHA-256",
        "nothing: neither its size nor its hash is published",
    ]
