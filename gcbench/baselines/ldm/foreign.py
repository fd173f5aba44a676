"""An AutoencoderKL that others trained, in diffusers' layout: a folder of config.json and weights, or its hub name."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gcbench.core.errors import UserError
from gcbench.core.network import offline


def diffusers(who: str = "ldm") -> Any:
    """diffusers, imported when something of it is first wanted: it is an extra, and takes seconds to import."""
    try:
        import diffusers as module
    except ImportError:
        raise UserError(f"{who} needs the extra diffusers: pip install 'gcbench[diffusers]'") from None
    return module


def open_foreign(path: str) -> Any:
    """The AutoencoderKL at `path`, frozen, float32. `GCBENCH_OFFLINE=1` allows local files only.
    UserError: it is not there, damaged, of another kind, or lacks some of its weights."""
    library = diffusers()
    try:
        kl, info = library.AutoencoderKL.from_pretrained(
            path,
            torch_dtype=torch.float32,
            local_files_only=offline() or Path(path).is_dir(),
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"the autoencoder {path!r} cannot be opened ({why}); give, as vae.path in training or"
            " sampler.vae_path later, a folder that AutoencoderKL's save_pretrained wrote"
        ) from None
    if info["missing_keys"]:
        raise UserError(
            f"the autoencoder {path!r} lacks {len(info['missing_keys'])} weights of its own config (first"
            f" {sorted(info['missing_keys'])[0]}); copy it again"
        )
    return kl.eval().requires_grad_(False)


def weights_hash(module: nn.Module) -> str:
    """SHA-256 of names and values of all weights, 12 digits: the same whatever file they came in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy())
    return digest.hexdigest()[:12]
