"""Weights that other people published, for the evaluators: found by their manifest name, loaded without running code.

A manifest name stands for the published file and nothing else. Other weights are given by their path
(`--evaluator ROLE=ID@FILE`).
"""

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

from gcbench.core.errors import UserError
from gcbench.core.files import parse_json, read_text
from gcbench.core.network import offline
from gcbench.weights.manifest import MANIFEST, File, find_entry, place

ENDINGS = (".safetensors", ".pth", ".pt", ".bin")


def locate(name: str, manifest: Path = MANIFEST) -> Path:
    """The file of the manifest entry `name`, verified by size and hash as far as these are published.

    Raises:
        UserError: no such entry; the file is not there (says what to run, or, with GCBENCH_OFFLINE, where to put
            which file); the file there is not the published one.
    """
    entry = find_entry(name, manifest)
    path = place(name, entry)
    if not path.is_file():
        if offline():
            raise UserError(f"{path} is not there and GCBENCH_OFFLINE is set; put the file of {entry.url} there")
        raise UserError(
            f"{path} is not there; run `gcbench weights fetch {name}`, or with --from FILE if you have {entry.file}"
        )
    fault = entry.fault(path)
    if fault:
        raise UserError(f"{path} is not the published file ({fault}); run `gcbench weights fetch {name}` again")
    return path


def fault_of(entry: File, file: Path) -> str | None:
    """Why `file`, whatever its name, is not the published file of `entry` or cannot be loaded; None if it can."""
    fault = entry.fault(file)
    if fault is None:
        try:
            if Path(entry.file).suffix == ".json":
                _check_json(file)
            else:
                load_official(file, Path(entry.file).suffix)
        except UserError as error:
            fault = str(error)
    return fault


def _check_json(path: Path) -> None:
    try:
        if not isinstance(parse_json(read_text(path)), dict):
            raise ValueError
    except (OSError, ValueError, RecursionError):
        raise UserError(f"{path} is no JSON object; fetch it again") from None


def load_official(path: Path, ending: str | None = None) -> dict[str, Any]:
    """The content of a weights file, as it was saved, on the CPU; nothing that it holds is executed.

    `.safetensors` gives a state dict. `.pth`, `.pt` and `.bin` (PyTorch's zip format and the older one) give the
    dict that was saved, read with `weights_only=True`: a bare state dict, or one under a key beside other entries.
    ending: read it as a file of this ending; by default, of its own.

    Raises:
        UserError: missing, truncated or foreign files; files that hold other objects than tensors and plain data,
            which could run code; TorchScript archives; anything but a dict.
    """
    path = Path(path)
    ending = ending or path.suffix
    if ending not in ENDINGS:
        raise UserError(f"{path} has none of the endings {', '.join(ENDINGS)}; give a file of weights")
    if not path.is_file():
        raise UserError(f"{path} does not exist; give a file of weights")
    if ending == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path} cannot be read as safetensors ({error}); fetch it again") from None
    return _load_pickle(path)


def _load_pickle(path: Path) -> dict[str, Any]:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old pickles and TorchScript: reported below, in one sentence
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged or foreign bytes raise errors of any kind
        raise UserError(_refusal(path, error)) from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__} where a dict of weights is expected; give another")
    return content


def _refusal(path: Path, error: Exception) -> str:
    """One sentence in place of torch's paragraphs, which advise to load unsafely."""
    text = str(error)
    if "TorchScript" in text:
        return f"{path} is a TorchScript archive, which holds code; give its state dict as .safetensors or .pth"
    foreign = re.search(r"GLOBAL ([\w.]+)", text)
    if foreign and isinstance(error, pickle.UnpicklingError):
        return (
            f"{path} is refused: it names {foreign[1]!r}, neither tensor nor plain data, which could run code when"
            " loaded, or it is damaged; give its state dict as .safetensors or .pth"
        )
    reason = "" if isinstance(error, pickle.UnpicklingError) else text.partition("\n")[0].partition(". ")[0]
    return f"{path} is not a whole file of weights ({reason or 'not what torch.save writes'}); fetch it again"
