"""Text encoders behind one protocol: texts in, a sequence of vectors and its mask out.

The null text that guidance needs is learned by the network that reads the vectors, not here.
"""

import os
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from gcbench.core.contracts import Reading
from gcbench.core.errors import UserError
from gcbench.core.samples import sample_ids
from gcbench.core.settings import Count
from gcbench.text.known_words import Aliases, KnownWords, most_frequent, reading, told, words_of


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
        ids = torch.tensor([row + [0] * (length - len(row)) for row in rows], device=device)  # [B,L]
        mask = torch.tensor([[i < len(row) for i in range(length)] for row in rows], device=device)
        return Embedded(self.table(ids) * mask.unsqueeze(-1), mask)

    def told(self, text: str, aliases: Aliases) -> str:
        return told(text, self.known, aliases)

    def reading(self, texts: Sequence[str], aliases: Aliases) -> Reading:
        return reading(texts, self.known, aliases, self.max_length)


class T5Encoder(TextEncoder):
    """The encoder half of a T5, frozen, float32, padded to the longest text; padding is zeroed.

    Source: Raffel et al. 2020; the reference model uses `t5-large` (d 1024, at most 256 tokens). Needs the extra
    `text`.
    """

    def __init__(self, cfg: TextConfig):
        super().__init__()
        try:
            from transformers import AutoTokenizer, T5EncoderModel
        except ImportError:
            raise UserError("text encoder t5 needs transformers; run pip install transformers") from None
        offline = os.environ.get("GCBENCH_OFFLINE") == "1"
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(cfg.name, local_files_only=offline)
            encoder = T5EncoderModel.from_pretrained(cfg.name, dtype=torch.float32, local_files_only=offline)
        except OSError:
            raise UserError(
                f"T5 weights {cfg.name!r} are not here; give a folder with them as --set model.text.name=FOLDER in"
                " training, --set sampler.text_encoder=FOLDER in sampling"
            ) from None
        self.encoder = encoder.eval().requires_grad_(False)
        self.dim, self.max_length = encoder.config.d_model, cfg.max_length

    def train(self, mode: bool = True) -> "T5Encoder":
        """Stays in evaluation mode: a frozen encoder must not drop out while the network around it trains."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, texts: Sequence[str]) -> Embedded:
        tokens = self.tokenizer(
            list(texts), padding="longest", truncation=True, max_length=self.max_length, return_tensors="pt"
        ).to(self.encoder.device)
        with torch.autocast(self.encoder.device.type, enabled=False):
            out = self.encoder(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
        mask = tokens.attention_mask.bool()
        return Embedded(out * mask.unsqueeze(-1), mask)

    def reading(self, texts: Sequence[str], aliases: Aliases) -> Reading:
        """Cut are texts of more than `max_length` tokens. Unknown are words of which a part has no token."""
        tokens = self.tokenizer(list(texts), truncation=True, max_length=self.max_length + 1).input_ids
        cut = [name for name, ids in zip(sample_ids(len(texts)), tokens, strict=True) if len(ids) > self.max_length]
        counts = Counter(word for text in texts for word in set(text.split()))
        parts = self.tokenizer(list(counts), add_special_tokens=False).input_ids if counts else []
        unknown = {word for word, ids in zip(counts, parts, strict=True) if self.tokenizer.unk_token_id in ids}
        return Reading(n=len(texts), unknown=most_frequent({word: counts[word] for word in unknown}), cut=cut)


def build_text_encoder(cfg: TextConfig) -> TextEncoder:
    return T5Encoder(cfg) if cfg.kind == "t5" else WordEncoder(cfg)
