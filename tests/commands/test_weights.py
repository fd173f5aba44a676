"""`gcbench weights`: what a person sees of official weights."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from conftest import Cli, tiny_t5
from safetensors.torch import save

from gcbench.commands import weights as commands
from gcbench.core.errors import UserError
from gcbench.networks.text import TextConfig, build_text_encoder
from gcbench.weights.download import Progress

BODY = save({"weight": torch.zeros(100)})
INCEPTION = "inception-2015-12-05/weights-inception-2015-12-05-6726825d.pth"


@pytest.fixture
def root(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of weights; offline, so that nothing is downloaded by mistake."""
    monkeypatch.setenv("GCBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("GCBENCH_OFFLINE", "1")
    return tmp_path / "weights"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    entry = {
        "role": "clip",
        "what": "a test",
        "url": "https://weights.invalid/file.safetensors",
        "file": "file.safetensors",
        "licence": "CC0",
    }
    known = {"size": len(BODY), "sha256": hashlib.sha256(BODY).hexdigest()}
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"known": entry | known, "unknown": entry}))
    return path


def put(root: Path, name: str, body: bytes) -> None:
    (root / name).mkdir(parents=True, exist_ok=True)
    (root / name / "file.safetensors").write_bytes(body)


def test_list_names_every_file_its_licence_and_its_place(cli: Cli, root: Path) -> None:
    (root / INCEPTION).parent.mkdir(parents=True)
    (root / INCEPTION).write_bytes(b"")
    result = cli("weights", "list")
    assert result.code == 0
    assert "inception-2015-12-05: here, 95.6 MB, Apache-2.0" in result.out
    assert "clip-vit-l-14-336: not here, size not published, MIT" in result.out
    assert f"{root / INCEPTION}\n" in result.out
    assert f"{root / 't5-large'}\n" in result.out
    assert result.out.count(str(root)) == result.out.count("here, ") == 6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A manifest of one entry, a folder like T5's, whose files nothing is published of."""
    url = "https://weights.invalid/"
    files = [{"url": url + file, "file": file} for file in ("config.json", "tokenizer.json", "tokenizer_config.json")]
    entry = {"role": "text", "what": "a test", "url": url + "model.safetensors", "file": "model.safetensors"}
    path = tmp_path / "folder.json"
    path.write_text(json.dumps({"t5-large": {**entry, "licence": "CC0", "beside": files}}))
    return path


def test_a_folder_given_by_hand_is_taken_whole_verified_and_read_by_name(
    root: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline; a text encoder then finds it by its name, and gives what it gives of the folder itself."""
    given = tiny_t5(tmp_path / "t5")
    texts = ["a car and a bus", "road"]
    with pytest.raises(
        UserError, match=r"`gcbench weights fetch t5-large`.*model\.text\.name=FOLDER.*text_encoder=FOLDER"
    ):
        build_text_encoder(TextConfig(kind="t5"))
    commands.fetch("t5-large", given, folder)
    assert "verified by nothing" in capsys.readouterr().err
    found = build_text_encoder(TextConfig(kind="t5"))(texts)
    expected = build_text_encoder(TextConfig(kind="t5", name=str(given)))(texts)
    torch.testing.assert_close(found.embeddings, expected.embeddings, rtol=0, atol=0)
    assert commands.check(manifest=folder)
    (root / "t5-large/tokenizer.json").write_text("<html>")
    assert not commands.check(["t5-large"], folder)
    assert f"BROKEN: {root / 't5-large/tokenizer.json'} is no JSON object" in capsys.readouterr().err
    with pytest.raises(UserError, match="are not whole"):
        build_text_encoder(TextConfig(kind="t5"))
    (root / "t5-large/tokenizer.json").unlink()
    assert commands.check((), folder)  # not here, and nobody asked for it
    assert not commands.check(["t5-large"], folder)


@pytest.mark.parametrize("fault", ["file", "absent", "cut"])
def test_a_folder_that_is_none_is_refused_and_nothing_is_half_there(
    root: Path, folder: Path, tmp_path: Path, fault: str
) -> None:
    given = tiny_t5(tmp_path / "t5")
    if fault == "file":
        given = given / "model.safetensors"
    elif fault == "absent":
        (given / "tokenizer_config.json").unlink()
    else:
        whole = (given / "model.safetensors").read_bytes()
        (given / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    named = {"file": "is not a folder", "absent": "tokenizer_config.json is not a file", "cut": "cannot be read"}
    with pytest.raises(UserError, match=named[fault]):
        commands.fetch("t5-large", given, folder)
    assert not (root / "t5-large/model.safetensors").exists()


def test_the_published_weights_of_t5_are_known_by_their_hash(cli: Cli, root: Path, tmp_path: Path) -> None:
    missing = cli("weights", "fetch", "t5-large").complaint
    assert "get config.json, tokenizer.json, tokenizer_config.json, model.safetensors of https://" in missing
    assert missing.endswith("--from FOLDER")
    got = cli("weights", "fetch", "t5-large", "--from", tiny_t5(tmp_path / "t5"))
    assert got.code == 2
    assert "is not the published model.safetensors: its SHA-256 begins with" in got.complaint


def test_check_of_nothing_is_not_a_failure_but_a_missing_name_is(cli: Cli, root: Path) -> None:
    assert cli("weights", "check").code == 0
    result = cli("weights", "check", "clip-vit-l-14-336")
    assert result.code == 2
    assert "clip-vit-l-14-336: not here" in result.err
    assert cli("weights", "check", "clip").code == 2


def test_check_finds_a_broken_file(cli: Cli, root: Path) -> None:
    (root / INCEPTION).parent.mkdir(parents=True)
    (root / INCEPTION).write_bytes(b"half")
    result = cli("weights", "check")
    assert result.code == 2
    assert "inception-2015-12-05: BROKEN: it has 4 bytes, the published file 95628359" in result.err
    assert result.complaint.startswith("gcbench: not all of these weights can be used")
    assert cli("weights", "check", "hrnet-w48-cityscapes", "inception-2015-12-05").code == 2


def test_check_says_what_was_verified(root: Path, manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(root, "known", BODY)
    put(root, "unknown", BODY)
    assert commands.check(manifest=manifest)
    err = capsys.readouterr().err
    assert "known: it loads; verified by SHA-256" in err
    assert "unknown: it loads; verified by nothing: neither its size nor its hash is published" in err
    put(root, "unknown", BODY[:-1])
    assert commands.check(["known"], manifest)
    assert not commands.check(manifest=manifest)
    assert "unknown: BROKEN: " in capsys.readouterr().err


def test_fetch_offline_is_exit_code_two_and_names_file_and_place(cli: Cli, root: Path) -> None:
    result = cli("weights", "fetch", "inception-2015-12-05")
    assert result.code == 2
    assert result.complaint.startswith("gcbench: GCBENCH_OFFLINE is set; get https://github.com/toshas/torch-fidelity/")
    assert result.complaint.endswith(f"put it at {root / INCEPTION}")
    assert "Traceback" not in result.err


def test_fetch_from_a_wrong_file_or_of_an_unknown_name_is_exit_code_two(cli: Cli, root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_bytes(b"mine")
    result = cli("weights", "fetch", "hrnet-w48-cityscapes", "--from", tmp_path / "mine.pth")
    assert result.code == 2
    assert "mine.pth is not the published fcn_hr48_512x1024_160k_cityscapes" in result.complaint
    result = cli("weights", "fetch", "hrnet")
    assert (result.code, result.out) == (2, "")
    assert "did you mean hrnet-w48-cityscapes" in result.complaint


def test_fetch_says_how_the_file_was_verified(
    root: Path, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_bytes(BODY)
    commands.fetch("known", tmp_path / "mine", manifest)
    assert "known/file.safetensors: verified by SHA-256; licence CC0" in capsys.readouterr().err
    commands.fetch("known", manifest=manifest)
    assert "known/file.safetensors is here already" in capsys.readouterr().err
    with pytest.raises(UserError):
        commands.fetch("unknown", manifest=manifest)


def test_a_download_shows_its_progress_in_megabytes(
    root: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GCBENCH_OFFLINE")

    def download(url: str, part: Path, progress: Progress, size: int | None = None) -> None:
        for done in range(0, 10_300_001, 100_000):
            progress(done, 10_300_000)
        part.write_bytes(BODY)

    monkeypatch.setattr("gcbench.weights.fetch.download", download)
    commands.fetch("known", manifest=manifest)
    err = capsys.readouterr().err
    assert "known, MB: 5/11" in err
    assert "known, MB: 11/11" in err
