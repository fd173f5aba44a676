"""Mean and covariance of an evaluator's features in an npz: those of ADM, pytorch-fid and clean-fid, and our own.

Others hold `mu` [d] and `sigma` [d,d], and say of them nothing. Ours hold `about` beside them, the UTF-8 bytes of JSON:
which evaluator, which images, how many. The arrays are float64 and the covariance has the divisor n - 1, so that other
tools read ours as they read each other's.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gcbench.core.errors import UserError
from gcbench.core.files import file_hash, parse_json, write_atomic
from gcbench.data.npz_arrays import Array, array_names

MEAN, COVARIANCE, ABOUT = "mu", "sigma", "about"

MOST_FEATURES = 2**14
MOST_ABOUT = 2**16  # bytes


class About(BaseModel):
    """What a file of ours says of its numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = Field("gcbench reference 1", pattern="^gcbench reference 1$", description="What this is.")
    role: str = Field(description="Of the evaluator.")
    evaluator: str = Field(description="Its id: architecture, hash of the weights, resize, precision.")
    n: int = Field(ge=2, description="Images.")
    dataset: str = Field(description="Name of the dataset.")
    dataset_version: str = Field(description="Its content.")
    split: str = Field(description="Split of the images.")
    size: tuple[int, int] = Field(description="(H, W) of the images, before the evaluator's own resize.")
    resize: str = Field(description="Filter that brought them to that size.")


@dataclass(frozen=True)
class ReferenceFile:
    """mean [d], covariance [d,d]: float64. about: None where the file does not say. hash: of the file. others: arrays
    in it that are not read, such as the images of ADM's files."""

    path: Path
    mean: np.ndarray
    covariance: np.ndarray
    about: About | None
    hash: str
    others: tuple[str, ...] = ()


def holds_statistics(path: Path) -> bool:
    """Whether an npz holds a mean and a covariance. UserError: it is damaged."""
    return {MEAN, COVARIANCE} <= set(array_names(path))


def read_reference_file(path: Path) -> ReferenceFile:
    """UserError: the file is damaged, or holds no finite `mu` [d] and symmetric `sigma` [d,d]."""
    mean, covariance = (_numbers(path, name) for name in (MEAN, COVARIANCE))
    d = len(mean) if mean.ndim == 1 else 0
    fault = ""
    if not d or covariance.shape != (d, d):
        fault = f"{MEAN} is of shape {mean.shape} and {COVARIANCE} of {covariance.shape}, not [d] and [d,d]"
    elif not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        fault = f"{MEAN} or {COVARIANCE} holds values that are not finite"
    elif _no_covariance(covariance):
        fault = f"{COVARIANCE} is no covariance: a variance is negative, or two features vary together more than alone"
    elif np.abs(covariance - covariance.T).max() > 1e-4 * np.abs(covariance).max():
        fault = f"{COVARIANCE} is not symmetric"
    if fault:
        raise UserError(f"--reference {path}: {fault}; save the mean and the covariance of features")
    others = tuple(sorted({*array_names(path)} - {MEAN, COVARIANCE, ABOUT}))
    return ReferenceFile(path, mean, (covariance + covariance.T) / 2, _about(path), file_hash(path), others)


def _no_covariance(matrix: np.ndarray) -> bool:
    """Whether a variance is below 0, or |σ_ij| above √(σ_ii σ_jj) by more than rounding."""
    variances = np.diagonal(matrix)
    slack = 1e-4 * np.abs(matrix).max()
    if variances.min() < -slack:
        return True
    deviations = np.sqrt(np.maximum(variances, 0))
    return bool((np.abs(matrix) > np.outer(deviations, deviations) + slack).any())


def write_reference_file(path: Path, mean: np.ndarray, covariance: np.ndarray, about: About) -> None:
    """Atomically."""
    encoded = np.frombuffer(json.dumps(about.model_dump(), ensure_ascii=False).encode(), np.uint8)

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as stream:
            np.savez(stream, mu=mean, sigma=covariance, about=encoded)

    write_atomic(path, write)


def _numbers(path: Path, name: str) -> np.ndarray:
    """An array of real numbers, as float64."""
    array = Array(path, name)
    if array.dtype.kind != "f" or not 1 <= len(array.shape) <= 2 or not 1 <= max(array.shape) <= MOST_FEATURES:
        raise UserError(
            f"--reference {path}: {name} is {array.dtype} of shape {array.shape}; save the mean [d] and the covariance"
            f" [d,d] of features, d at most {MOST_FEATURES}"
        )
    return np.stack([array.row(i) for i in range(array.shape[0])]).astype(np.float64)


def _about(path: Path) -> About | None:
    if ABOUT not in array_names(path):
        return None
    array = Array(path, ABOUT)
    try:
        if array.dtype != np.uint8 or len(array.shape) != 1 or array.shape[0] > MOST_ABOUT:
            raise ValueError
        content = b"".join(array.row(i).tobytes() for i in range(array.shape[0]))
        return About.model_validate(parse_json(content.decode()))
    except (ValueError, ValidationError):
        raise UserError(
            f"--reference {path}: its {ABOUT!r} is none that `gcbench data reference` writes; write the file again"
        ) from None
