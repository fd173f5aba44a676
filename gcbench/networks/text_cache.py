"""What a frozen encoder says of texts, kept between steps and runs: a caption is encoded once, not in every step.

Kept in `texts/` of the cache directory (`$GCBENCH_CACHE`; `off` keeps nothing), one file a text, named by a hash of the
text in a folder named by the encoder. A place that cannot be written is said once and not used.
"""

import os
import shutil
import sys
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gcbench.core.errors import UserError
from gcbench.core.files import cache_directory, text_hash, write_atomic

MOST = 32 << 30
"""Bytes that an encoder's folder takes at most; nor more than half of what was free on its disk."""


class TextCache:
    """Vectors float32 [L,dim] of texts. encoder: all that they depend on besides the text."""

    def __init__(self, encoder: str, dim: int):
        root = cache_directory("texts")
        self.folder = None if root is None else root / encoder
        self.dim = dim
        self._left: int | None = None

    def get(self, text: str) -> Tensor | None:
        """What was kept of a text, to the bit; None if nothing was, or it is damaged."""
        if self.folder is None:
            return None
        try:
            content = self._file(self.folder, text).read_bytes()
        except OSError:
            return None
        vectors = np.frombuffer(content[4:], "<f4").copy() if len(content) % 4 == 0 else np.empty(0)
        if not vectors.size or vectors.size % self.dim or zlib.crc32(content[4:]) != int.from_bytes(content[:4]):
            return None
        return torch.from_numpy(vectors).view(-1, self.dim)

    def put(self, text: str, vectors: Tensor) -> None:
        """Keep what the encoder says of a text, while there is room."""
        if self.folder is None:
            return
        data = vectors.detach().cpu().contiguous().numpy().astype("<f4").tobytes()
        try:
            if self._room(self.folder) < len(data):
                raise UserError(f"{MOST >> 30} GiB, or half of the disk's free space, are taken")
            content = zlib.crc32(data).to_bytes(4) + data
            write_atomic(self._file(self.folder, text), lambda path: path.write_bytes(content))
            self._left = self._room(self.folder) - len(content)
        except (OSError, UserError) as error:
            cause = error.__cause__ or error
            why = getattr(cause, "strerror", None) or cause
            print(f"The cache {self.folder} cannot be written ({why}): texts are encoded whenever they are read.",
                  file=sys.stderr, flush=True)  # fmt: skip
            self.folder = None

    def _room(self, folder: Path) -> int:
        """Bytes that may still be written."""
        if self._left is None:
            folder.mkdir(parents=True, exist_ok=True)
            held = sum(file.stat().st_size for part in os.scandir(folder) if part.is_dir() for file in os.scandir(part))
            self._left = min(MOST - held, shutil.disk_usage(folder).free // 2)
        return self._left

    @staticmethod
    def _file(folder: Path, text: str) -> Path:
        name = text_hash(text, length=32)
        return folder / name[:2] / name[2:]
