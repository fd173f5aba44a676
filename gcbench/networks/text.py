"""Text encoders behind one protocol: texts in, a sequence of vectors and its mask out.

The null text that guidance needs is learned by the network that reads the vectors, not here.
"""

import os
import re
import zlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from gcbench.core.checkpoint import weights_hash
from gcbench.core.contracts import Reading
from gcbench.core.draws import moved
from gcbench.core.errors import UserError
from gcbench.core.network import offline
from gcbench.core.samples import sample_ids
from gcbench.core.settings import Count
from gcbench.networks.text_cache import TextCache
from gcbench.text.known_words import Aliases, KnownWords, most_frequent, reading, told, words_of
from gcbench.weights.download import reachable
from gcbench.weights.manifest import folder_of


class Embedded(NamedTuple):
    """embeddings: [B,L,dim]; mask: bool [B,L], true at words."""

    embeddings: Tensor
    mask: Tensor


class Reader(nn.Module):
    """What reads texts, and says what it leaves out of them. aliases: the dataset's."""

    def told(self, text: str, aliases: Aliases) -> str:
        """What of the text is given to `forward`, and in which words."""
        return text

    @abstractmethod
    def reading(self, texts: Sequence[str], aliases: Aliases) -> Reading: ...


class TextEncoder(Reader):
    dim: int

    @abstractmethod
    def forward(self, texts: Sequence[str]) -> Embedded: ...


class TextConfig(KnownWords):
    """kind: `words` (a table learned with the model) or `t5` (frozen; `name` is a folder or hub name).

    max_length: words of the table, or tokens, that are read of a text.
    """

    kind: Literal["words", "t5"] = "words"
    dim: Count = 64
    max_length: Count = 64
    name: str = "t5-large"


class WordEncoder(TextEncoder):
    """One learned vector a word. Words that the vocabulary lacks are left out; index 0 is padding."""

    def __init__(self, cfg: TextConfig):
        super().__init__()
        self.known, self.dim, self.max_length = cfg, cfg.dim, cfg.max_length
        self.index = {word: i + 1 for i, word in enumerate(cfg.vocabulary)}
        self.table = nn.Embedding(len(cfg.vocabulary) + 1, cfg.dim)

    def forward(self, texts: Sequence[str]) -> Embedded:
        rows = [[self.index[w] for w in words_of(text) if w in self.index][: self.max_length] for text in texts]
        length = max(1, max(map(len, rows)))
        device = self.table.weight.device
        ids = moved(torch.tensor([row + [0] * (length - len(row)) for row in rows]), device)  # [B,L]
        mask = moved(torch.tensor([[i < len(row) for i in range(length)] for row in rows]), device)
        return Embedded(self.table(ids) * mask.unsqueeze(-1), mask)

    def told(self, text: str, aliases: Aliases) -> str:
        return told(text, self.known, aliases)

    def reading(self, texts: Sequence[str], aliases: Aliases) -> Reading:
        return reading(texts, self.known, aliases, self.max_length)


LETTERS = ("a", "b", "e", "0", "1")
"""Texts of which any tokenizer tells two apart."""


def reads_all_alike(tokenizer: Any) -> bool:
    """Whether a tokenizer of transformers has no vocabulary, as the one that is made, without an error, of a folder
    that lacks its files."""
    return len({tuple(tokenizer(letter).input_ids) for letter in LETTERS}) == 1


class T5Encoder(TextEncoder):
    """The encoder half of a T5, frozen, float32, padded to the longest text; padding is zeroed.

    It is part of no state dict, average or optimiser. Each text is encoded alone, so that its vectors depend on nothing
    else to the last bit, and once: `TextCache` keeps them.
    Source: Raffel et al. 2020; the reference model uses `t5-large` (d 1024, at most 256 tokens). Needs the extra
    `text`.
    """

    def __init__(self, cfg: TextConfig):
        super().__init__()
        if find_spec("transformers") is None:
            raise UserError("text encoder t5 needs transformers; run pip install transformers")
        place, local = find_t5(cfg.name)
        from transformers import AutoTokenizer, T5EncoderModel

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=local)
            loaded: Any = T5EncoderModel.from_pretrained(
                place, dtype=torch.float32, local_files_only=local, output_loading_info=True
            )
            encoder, info = loaded
        except (OSError, ValueError, TypeError, KeyError):  # of the last where files are there that are no T5's
            raise no_t5(cfg.name, "are not whole" if place != cfg.name else "are not to be had") from None
        if info["missing_keys"] or reads_all_alike(self.tokenizer):  # what lacks is random, or empty, without an error
            raise no_t5(cfg.name, "are not whole")
        self._frozen = (encoder.eval().requires_grad_(False),)  # in a tuple: not one of this module's own
        self.dim, self.max_length = encoder.config.d_model, cfg.max_length
        self._cache: TextCache | None = None

    @property
    def encoder(self) -> Any:
        return self._frozen[0]

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        self.encoder._apply(fn, recurse)
        return super()._apply(fn, recurse)

    @property
    def cache(self) -> TextCache:
        """Of this encoder: its weights, its tokenizer, the texts' greatest length, the device and the libraries."""
        if self._cache is None:
            weights = weights_hash({name: tensor.cpu() for name, tensor in self.encoder.state_dict().items()})
            words = zlib.crc32(repr(sorted(self.tokenizer.get_vocab().items())).encode())
            made = f"{torch.__version__}-{version('transformers')}".replace("+", "-")
            name = f"t5-{weights}-{words:08x}-{self.max_length}-{self.encoder.device.type}-{made}"
            self._cache = TextCache(name, self.dim)
        return self._cache

    def train(self, mode: bool = True) -> "T5Encoder":
        """Stays in evaluation mode: a frozen encoder must not drop out while the network around it trains."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, texts: Sequence[str]) -> Embedded:
        rows = [self._vectors(text) for text in texts]
        out = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        lengths = moved(torch.tensor([len(row) for row in rows]), out.device)
        return Embedded(out, torch.arange(out.shape[1], device=out.device) < lengths[:, None])

    def _vectors(self, text: str) -> Tensor:
        """float32 [L,dim] of one text."""
        device = self.encoder.device
        if (kept := self.cache.get(text)) is not None:
            return moved(kept, device)
        tokens = self.tokenizer([text], truncation=True, max_length=self.max_length, return_tensors="pt").to(device)
        with torch.autocast(device.type, enabled=False):
            out = self.encoder(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state[0]
        self.cache.put(text, out)
        return out

    def reading(self, texts: Sequence[str], aliases: Aliases) -> Reading:
        """Cut are texts of more than `max_length` tokens. Unknown are words of which a part has no token."""
        tokens = self.tokenizer(list(texts), truncation=True, max_length=self.max_length + 1).input_ids
        cut = [name for name, ids in zip(sample_ids(len(texts)), tokens, strict=True) if len(ids) > self.max_length]
        counts = Counter(word for text in texts for word in set(text.split()))
        parts = self.tokenizer(list(counts), add_special_tokens=False).input_ids if counts else []
        unknown = {word for word, ids in zip(counts, parts, strict=True) if self.tokenizer.unk_token_id in ids}
        return Reading(n=len(texts), unknown=most_frequent({word: counts[word] for word in unknown}), cut=cut)


def find_t5(name: str) -> tuple[str, bool]:
    """Where the T5 called `name` is read from, and whether from this machine alone: a folder by its path, what `gcbench
    weights fetch` brought, else the hub's copy, kept or new. UserError: it is nowhere, told before much is imported."""
    if os.sep in name and Path(name).is_dir():
        return name, True
    if folder := folder_of(name):
        return str(folder), True
    if name and os.sep not in name and Path(name).is_dir():
        raise no_t5(name, f"are a folder here, for which you must write ./{name}")
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name):
        raise no_t5(name, "are no folder that is here")
    from huggingface_hub import constants, try_to_load_from_cache

    kept = isinstance(try_to_load_from_cache(name, "config.json"), str)
    silent = "GCBENCH_OFFLINE is set" if offline() else ""
    if not silent and not reachable(f"{constants.ENDPOINT}/{name}/resolve/main/config.json"):
        silent = f"{constants.ENDPOINT} cannot be reached"
    if silent and not kept:
        raise no_t5(name, f"are not here and {silent}")
    return name, bool(silent)


def no_t5(name: str, fault: str) -> UserError:
    fetch = "run `gcbench weights fetch t5-large` where there is a network, or " if name == TextConfig().name else ""
    return UserError(
        f"T5 weights {name!r} {fault}; {fetch}give a folder with them: --set model.text.name=FOLDER in training,"
        " --set sampler.text_encoder=FOLDER in sampling"
    )


class Unread(TextEncoder):
    """In the place of a frozen encoder whose weights are not read: vectors of 0 of full length."""

    def __init__(self, cfg: TextConfig):
        super().__init__()
        self.dim, self.length = cfg.dim, cfg.max_length

    def forward(self, texts: Sequence[str]) -> Embedded:
        n = len(texts)
        return Embedded(torch.zeros(n, self.length, self.dim), torch.ones(n, self.length, dtype=torch.bool))

    def reading(self, texts: Sequence[str], aliases: Aliases) -> Reading:
        return Reading(n=len(texts))


_unread = ContextVar("frozen encoders are not read", default=False)


@contextmanager
def frozen_unread() -> Iterator[None]:
    """Networks built within read no weights of frozen text encoders: enough to plan or to time them."""
    before = _unread.set(True)
    try:
        yield
    finally:
        _unread.reset(before)


def build_text_encoder(cfg: TextConfig) -> TextEncoder:
    if cfg.kind == "t5":
        return Unread(cfg) if _unread.get() else T5Encoder(cfg)
    return WordEncoder(cfg)
