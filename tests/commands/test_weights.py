"""`gcbench weights`: what a person sees of official weights."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from conftest import Cli
from safetensors.torch import save

from gcbench.commands import weights as commands
from gcbench.core.errors import UserError
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
    assert result.out.count(str(root)) == result.out.count("here, ") == 4


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
