"""Text encoders: the word table, and T5 against transformers' own output on a tiny random model."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from conftest import tiny_t5
from safetensors.torch import load_file, save_file

from gcbench.core.errors import UserError
from gcbench.gcdp.config import GCDPConfig
from gcbench.gcdp.network import TextToPair
from gcbench.networks.text import T5Encoder, TextConfig, WordEncoder, build_text_encoder, find_t5
from gcbench.networks.unet import UNetConfig
from gcbench.text.known_words import vocabulary_of, words_of


def encoder(**settings: object) -> WordEncoder:
    torch.manual_seed(0)
    cfg = TextConfig.model_validate({"dim": 4, "vocabulary": ("bus", "car", "road"), **settings})
    found = build_text_encoder(cfg)
    assert isinstance(found, WordEncoder)
    return found


def test_words_are_lower_case_letters_and_digits() -> None:
    assert words_of("A Traffic-light, 2 CARS & skies.") == ["a", "traffic", "light", "2", "cars", "and", "skies"]


def test_vocabulary_is_sorted_and_counts() -> None:
    texts = ["Cars and a bus.", "a bus", "A road"]
    assert vocabulary_of(texts) == ("a", "and", "bus", "cars", "road")
    assert vocabulary_of(texts, minimum=2) == ("a", "bus")
    assert vocabulary_of(reversed(texts)) == vocabulary_of(texts)


def test_word_vectors_in_the_order_of_the_text() -> None:
    net = encoder()
    out = net(["Car, BUS road", "bus"])
    assert out.embeddings.shape == (2, 3, 4)
    assert out.mask.tolist() == [[True, True, True], [True, False, False]]
    torch.testing.assert_close(out.embeddings[0], net.table.weight[[2, 1, 3]])
    torch.testing.assert_close(out.embeddings[1, 0], net.table.weight[1])
    assert (out.embeddings[1, 1:] == 0).all()


def test_unknown_words_are_left_out() -> None:
    """A vector that training never touched would say something at random."""
    net = encoder()
    known, mixed = net(["car"]), net(["unicorn car dragon"])
    assert torch.equal(known.embeddings, mixed.embeddings)
    assert torch.equal(known.mask, mixed.mask)
    assert not net(["unicorn"]).mask.any()


def test_long_and_empty_texts() -> None:
    net = encoder(max_length=2)
    out = net(["car bus road", ""])
    assert out.mask.tolist() == [[True, True], [False, False]]
    assert net([""]).mask.tolist() == [[False]]


def test_the_table_learns() -> None:
    net = encoder()
    net(["car"]).embeddings.sum().backward()
    assert net.table.weight.grad is not None
    assert net.table.weight.grad.any(dim=1).tolist() == [False, False, True, False]


# ------------------------------------------------------------------------------------------------ T5


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random T5 of 4 layers' worth of kilobytes, with a word tokenizer, saved as transformers saves them."""
    return tiny_t5(tmp_path_factory.mktemp("t5"))


def frozen(folder: Path, **settings: object) -> T5Encoder:
    found = build_text_encoder(TextConfig.model_validate({"kind": "t5", "name": str(folder), **settings}))
    assert isinstance(found, T5Encoder)
    return found


def test_t5_is_transformers_encoder(t5: Path) -> None:
    """Same vectors as T5EncoderModel on ids set by hand; padding zeroed; the end token kept."""
    from transformers import T5EncoderModel

    out = frozen(t5)(["a car and a bus", "road"])
    ids = torch.tensor([[3, 4, 6, 3, 5, 1], [7, 1, 0, 0, 0, 0]])
    mask = ids != 0
    with torch.no_grad():
        expected = T5EncoderModel.from_pretrained(t5).eval()(input_ids=ids, attention_mask=mask.long())
    assert out.mask.tolist() == mask.tolist()
    torch.testing.assert_close(out.embeddings[mask], expected.last_hidden_state[mask])
    assert (out.embeddings[~mask] == 0).all()


@pytest.mark.parametrize(
    "gone",
    [("tokenizer.json",), ("tokenizer_config.json",), ("tokenizer.json", "tokenizer_config.json"), ("a weight",)],
)
def test_a_t5_that_lacks_something_is_refused(t5: Path, tmp_path: Path, gone: tuple[str, ...]) -> None:
    """transformers makes up for what is not there: random weights, a tokenizer of no words."""
    cut = shutil.copytree(t5, tmp_path / "cut")
    if gone == ("a weight",):
        weights = load_file(cut / "model.safetensors")
        weights.pop(next(key for key in weights if key.endswith("SelfAttention.q.weight")))
        save_file(weights, cut / "model.safetensors", metadata={"format": "pt"})
    for name in set(gone) - {"a weight"}:
        (cut / name).unlink()
    with pytest.raises(UserError, match=r"are not whole|are not to be had"):
        frozen(cut)


def test_t5_truncates(t5: Path) -> None:
    out = frozen(t5, max_length=3)(["a car and a bus"])
    assert out.embeddings.shape == (1, 3, 16)


def test_t5_stays_frozen_in_training(t5: Path) -> None:
    """Neither gradients nor dropout: in training mode the same text gives the same vectors."""
    net = frozen(t5)
    before = net(["a car"]).embeddings
    net.train()
    after = net(["a car"]).embeddings
    assert not after.requires_grad
    assert not [p for p in net.parameters() if p.requires_grad]
    torch.testing.assert_close(before, after, rtol=0, atol=0)


def test_checkpoints_leave_t5_out(t5: Path) -> None:
    """All of it, the table that T5 ties under two names included."""
    unet = UNetConfig(
        dim=8,
        mults=(1,),
        blocks=(1,),
        self_attention=(False,),
        cross_attention=(True,),
        heads=2,
        dim_head=4,
        text_length=8,
        latents=2,
        groups=4,
        init_kernels=(3,),
    )
    net = TextToPair(GCDPConfig(unet=unet, text=TextConfig(kind="t5", name=str(t5)), size=(4, 4)))
    assert net.trained()
    assert not [name for name in net.trained() if name.startswith("text.")]
    assert net.read(["a car"], torch.tensor([True])).tokens.shape == (1, 6, 8)  # type: ignore[union-attr]


def test_missing_t5_weights_are_the_users_to_mend(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    with pytest.raises(UserError, match=r"text\.name"):
        frozen(tmp_path)


@pytest.mark.parametrize("name", ["t5-large", "some/other-t5"])
def test_without_a_network_a_t5_is_refused_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """The hub's address is a port at which nobody listens; its client, which tries again and again, is not asked."""
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setenv("GCBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("GCBENCH_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", None)
    with pytest.raises(UserError) as refusal:
        find_t5(name)
    assert "http://127.0.0.1:9 cannot be reached" in str(refusal.value)
    assert ("gcbench weights fetch t5-large" in str(refusal.value)) == (name == "t5-large")
    monkeypatch.setenv("GCBENCH_OFFLINE", "1")
    with pytest.raises(
        UserError, match=r"GCBENCH_OFFLINE is set.*model\.text\.name=FOLDER.*sampler\.text_encoder=FOLDER"
    ):
        find_t5(name)


@pytest.mark.parametrize("name", ["./absent", "/absent/t5", "../t5", "a/b/c", "", "t5 large", "~/t5"])
def test_a_path_is_never_taken_for_a_name_of_the_hub(name: str) -> None:
    with pytest.raises(UserError, match="are no folder that is here"):
        find_t5(name)


def test_a_bare_name_is_no_folder_of_the_current_directory(
    t5: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GCBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("GCBENCH_OFFLINE", "1")
    monkeypatch.chdir(t5.parent)
    with pytest.raises(UserError, match=r"write \./"):
        find_t5(t5.name)
    assert find_t5(f"./{t5.name}") == (f"./{t5.name}", True)


def test_missing_transformers_is_the_users_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match="pip install transformers"):
        frozen(Path("t5-large"))
