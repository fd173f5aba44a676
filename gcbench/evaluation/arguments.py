"""Models that a command names: registered, or in a file."""

import importlib.util
import sys
from pathlib import Path

from gcbench.core.contracts import Model
from gcbench.core.errors import UserError
from gcbench.core.registry import registry


def model_class(name: str) -> type[Model]:
    """A registered model, or `file.py:Class`.

    Raises:
        UserError: no such model, file or class, or a file that cannot be imported.
    """
    if ".py" not in name:
        return registry("models")[name]
    file, _, attribute = name.partition(":")
    path = Path(file)
    if not path.is_file() or not attribute:
        raise UserError(f"--model {name}: give an existing file and its class, as in --model my_model.py:MyModel")
    spec = importlib.util.spec_from_file_location(f"gcbench_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"--model {name}: {path} is no Python file; give a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickles look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"--model {name}: importing {path} raised {type(error).__name__}: {error}; mend it") from error
    found = getattr(module, attribute, None)
    if not isinstance(found, type):
        raise UserError(f"{path} has no class {attribute!r}; name one that it defines")
    if not issubclass(found, Model):
        raise UserError(f"{attribute} of {path} is no gcbench.core.contracts.Model; derive it from that class")
    return found
