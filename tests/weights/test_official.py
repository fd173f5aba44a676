"""Official weights: found by name, and loaded without running what they hold."""

import hashlib
import json
import os
import pickle
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from gcbench.core.errors import UserError
from gcbench.weights.official import load_official, locate

STATE = OrderedDict({"conv.weight": torch.arange(24.0).reshape(2, 3, 2, 2), "bn.num_batches_tracked": torch.tensor(7)})
FORMS = ("zip.pth", "legacy.pth", "zip.bin", "zip.pt", "state.safetensors")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """STATE in every form, under "state_dict" beside plain data as mmsegmentation does in the pickled ones."""
    folder = tmp_path_factory.mktemp("saved")
    content = {"meta": {"CLASSES": ["road", "sky"], "PALETTE": [[128, 64, 128]], "iter": 160000}, "state_dict": STATE}
    for form in FORMS:
        if form.endswith(".safetensors"):
            save_file(dict(STATE), folder / form)
        else:
            torch.save(content, folder / form, _use_new_zipfile_serialization=form.startswith("zip"))
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_what_was_saved(saved: Path, form: str) -> None:
    content = load_official(saved / form)
    if form != "state.safetensors":
        assert content["meta"]["CLASSES"] == ["road", "sky"]
        content = content["state_dict"]
    assert list(content) == list(STATE) or form == "state.safetensors"
    for name, tensor in STATE.items():
        assert torch.equal(content[name], tensor)
        assert content[name].dtype == tensor.dtype


def test_a_bare_state_dict_is_taken_as_it_is(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "bare.pth")
    assert list(load_official(tmp_path / "bare.pth")) == list(STATE)


class Evil:
    def __init__(self, proof: Path):
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.proof),)


@pytest.mark.parametrize("form", ["zip", "legacy", "plain pickle"])
@pytest.mark.parametrize("depth", ["alone", "beside weights"])
def test_a_malicious_pickle_is_refused_and_does_not_run(tmp_path: Path, form: str, depth: str) -> None:
    proof, path = tmp_path / "it ran", tmp_path / "evil.pth"
    content = Evil(proof) if depth == "alone" else {"state_dict": STATE, "meta": {"config": Evil(proof)}}
    if form == "plain pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(UserError) as caught:
        load_official(path)
    assert not proof.exists()
    assert_one_sentence(str(caught.value), path)
    if form != "plain pickle":
        assert "is refused: it names 'posix.mkdir', neither" in str(caught.value)
    pickle.loads(pickle.dumps(content))  # the payload is live: elsewhere it would have run
    assert proof.exists()


def assert_one_sentence(message: str, path: Path) -> None:
    """One line that names the file and does not hand on torch's advice to load it unsafely."""
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 250 + len(str(path))
    assert "False" not in message
    assert ". " not in message.replace(str(path), "")


@given(form=st.sampled_from(FORMS), share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_refused(
    tmp_path_factory: pytest.TempPathFactory, saved: Path, form: str, share: float
) -> None:
    whole = (saved / form).read_bytes()
    path = tmp_path_factory.mktemp("cut") / form
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError) as caught:
        load_official(path)
    assert_one_sentence(str(caught.value), path)


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(UserError, match=r"it names 'torch.nn.modules.linear.Linear', neither tensor nor"):
        load_official(tmp_path / "module.pth")


def test_a_torchscript_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; OpenAI's CLIP files are of this form
        torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(path))
    with pytest.raises(UserError, match="is a TorchScript archive") as caught:
        load_official(path)
    assert_one_sentence(str(caught.value), path)


@pytest.mark.parametrize(
    ("name", "body", "complaint"),
    [
        ("page.pth", b"<html>404</html>", "is not a whole file of weights"),
        ("page.safetensors", b"<html>404</html>", "cannot be read as safetensors"),
        ("empty.pth", b"", "is not a whole file of weights"),
        ("weights.ckpt", b"", r"has none of the endings \.safetensors, \.pth"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, body: bytes, complaint: str) -> None:
    (tmp_path / name).write_bytes(body)
    with pytest.raises(UserError, match=complaint) as caught:
        load_official(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_a_list_and_an_absent_file_are_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(UserError, match=r"list\.pth holds a list where a dict"):
        load_official(tmp_path / "list.pth")
    with pytest.raises(UserError, match=r"nowhere\.pth does not exist"):
        load_official(tmp_path / "nowhere.pth")
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(UserError, match=r"folder\.pth does not exist"):
        load_official(tmp_path / "folder.pth")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    body = b"weights"
    entry = {
        "role": "clip",
        "what": "a test",
        "url": "https://weights.invalid/thing.pth",
        "file": "thing.pth",
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "licence": "CC0",
    }
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"thing-one": entry, "thing-two": entry}))
    return path


def test_weights_are_found_in_the_chosen_folder_else_in_the_cache(
    tmp_path: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("GCBENCH_WEIGHTS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    roots = [tmp_path / "home/.cache/gcbench/weights", tmp_path / "xdg/gcbench/weights", tmp_path / "chosen"]
    for root in roots:
        (root / "thing-one").mkdir(parents=True)
        (root / "thing-one/thing.pth").write_bytes(b"weights")
    assert locate("thing-one", manifest) == roots[0] / "thing-one/thing.pth"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert locate("thing-one", manifest) == roots[1] / "thing-one/thing.pth"
    monkeypatch.setenv("GCBENCH_WEIGHTS", str(tmp_path / "chosen"))
    assert locate("thing-one", manifest) == roots[2] / "thing-one/thing.pth"


def test_what_is_not_there_is_said_with_its_place_and_the_way_to_get_it(
    tmp_path: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.delenv("GCBENCH_OFFLINE", raising=False)
    place = tmp_path / "thing-one/thing.pth"
    with pytest.raises(UserError, match=rf"{place} is not there; run `gcbench weights fetch thing-one`.*--from FILE"):
        locate("thing-one", manifest)
    monkeypatch.setenv("GCBENCH_OFFLINE", "1")
    with pytest.raises(UserError, match=rf"{place} is not there and GCBENCH_OFFLINE is set; put the file of https://"):
        locate("thing-one", manifest)


def test_another_file_does_not_take_the_name(tmp_path: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCBENCH_WEIGHTS", str(tmp_path))
    (tmp_path / "thing-one").mkdir()
    for body, fault in ((b"wieghts", "its SHA-256 begins with"), (b"more weights", "it has 12 bytes")):
        (tmp_path / "thing-one/thing.pth").write_bytes(body)
        with pytest.raises(UserError, match=rf"is not the published file \({fault}.*fetch thing-one` again"):
            locate("thing-one", manifest)


def test_an_unknown_name_is_answered_with_near_ones(manifest: Path) -> None:
    with pytest.raises(UserError, match=r"unknown weights 'thing-on'; did you mean thing-one or thing-two\?"):
        locate("thing-on", manifest)
    with pytest.raises(UserError, match="unknown weights 'x'; known: thing-one, thing-two"):
        locate("x", manifest)
