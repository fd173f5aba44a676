"""Where weights are looked for: a file given by hand, `$GCBENCH_WEIGHTS/<name>/<dataset>/`, the bundled ones."""

import os
from pathlib import Path

BUNDLED = Path(__file__).parent


def find_weights(name: str, dataset: str, given: Path | None = None) -> Path | None:
    """The weights of model or evaluator `name` for `dataset`: the .safetensors file or None."""
    if given is not None:
        return given
    for root in (os.environ.get("GCBENCH_WEIGHTS"), BUNDLED):
        if root:
            found = sorted((Path(root) / name / dataset).glob("*.safetensors"))
            if found:
                return found[0]
    return None
