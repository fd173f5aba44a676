"""Where data is looked for."""

import os
from pathlib import Path

from gcbench.core.errors import UserError

VARIABLE = "GCBENCH_DATA"


def data_root(name: str, content: str) -> Path:
    """The folder `$GCBENCH_DATA/<name>`.

    content: what belongs into it, for the message.

    Raises:
        UserError: the variable is unset or the folder is absent; says where to put what.
    """
    base = os.environ.get(VARIABLE)
    way_out = "or use --dataset streets, which needs no files"
    if not base:
        raise UserError(
            f"{name} needs files but {VARIABLE} is not set; set it to a folder that holds {name}/ with"
            f" {content}, {way_out}"
        )
    root = Path(base).expanduser() / name
    if not root.is_dir():
        raise UserError(f"{root} is not there; put {content} into it, {way_out}")
    return root
