"""Where weights are looked for: a file given by hand, `$GCBENCH_WEIGHTS/<name>/<dataset>/`, the bundled ones."""

import os
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from gcbench.core.checkpoint import Checkpoint, load
from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.files import weights_in

BUNDLED = Path(__file__).parent

Config = TypeVar("Config", bound=BaseModel)


def find_weights(name: str, dataset: str, given: Path | None = None) -> Path | None:
    """The weights of model or evaluator `name` for `dataset`: the .safetensors file or None."""
    if given is not None:
        return given
    if is_path(dataset):
        return None
    for root in (os.environ.get("GCBENCH_WEIGHTS"), BUNDLED):
        if root:
            files = weights_in(Path(root).expanduser() / name / dataset)
            if files:
                return files[0]
    return None


def is_path(text: str) -> bool:
    """Whether a text may be a folder's path: it has a slash. A bare name never is."""
    return bool({"/", os.sep} & set(text))


def open_weights(name: str, dataset: Dataset, given: Path | None, config: type[Config]) -> tuple[Config, Checkpoint]:
    """The checkpoint of model `name` for the dataset's classes, and the config that its card holds.

    Raises:
        UserError: there is none (names the command that trains one); it is another model's, or of other classes; its
            config is not one of this version.
    """
    path = find_weights(name, dataset.name, given)
    if path is None:
        raise UserError(
            f"no weights of {name} for {dataset.name}: run `gcbench train --model {name} --dataset"
            f" {dataset.argument}` and give its file as --checkpoint, or add --train"
        )
    checkpoint = load(path, kind="model", name=name, classes=dataset.classes)
    try:
        return config.model_validate(checkpoint.card.config), checkpoint
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise UserError(
            f"checkpoint {checkpoint.path} has a config that this version does not know (at {where}); train it again"
        ) from None
