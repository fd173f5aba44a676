"""Settings given as dotted keys (`--set train.steps=200`, or tables of a TOML file), laid over pydantic configs."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from gcbench.core.errors import UserError


def read_settings(config: Path | None, pairs: Sequence[str] = ()) -> dict[str, Any]:
    """Flat dotted keys from a TOML file and `KEY=VALUE` pairs (values are JSON, else text); the pairs win."""
    settings: dict[str, Any] = {}
    if config is not None:
        try:
            _flatten("", tomllib.loads(Path(config).read_text()), settings)
        except OSError as error:
            raise UserError(f"--config {config} cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"--config {config} is not valid TOML: {error}") from None
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"--set {pair!r} lacks '='; write --set KEY=VALUE, for example --set train.steps=200")
        try:
            settings[key] = json.loads(value)
        except json.JSONDecodeError:
            settings[key] = value
    return settings


def _flatten(prefix: str, table: Mapping[str, Any], out: dict[str, Any]) -> None:
    for key, value in table.items():
        if isinstance(value, dict):
            _flatten(f"{prefix}{key}.", value, out)
        else:
            out[f"{prefix}{key}"] = value


def apply(configs: Mapping[str, BaseModel], settings: Mapping[str, Any]) -> list[Any]:
    """The configs, in order, with `name.key` settings laid over them. A nested config's key has one more dot.

    Raises:
        UserError: an unknown key (near names suggested) or a value of the wrong type.
    """
    data = {name: config.model_dump() for name, config in configs.items()}
    for key, value in settings.items():
        table: Any = data
        *parents, last = key.split(".")
        for parent in parents:
            table = table.get(parent) if isinstance(table, dict) else None
        if not isinstance(table, dict) or last not in table:
            known: dict[str, Any] = {}
            _flatten("", data, known)
            near = get_close_matches(key, known, n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else f"; known: {', '.join(known)}"
            raise UserError(f"unknown setting {key!r}{hint}")
        table[last] = value
    out = []
    for name, config in configs.items():
        try:
            out.append(type(config).model_validate(data[name]))
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join([name, *map(str, fault["loc"])])
            raise UserError(f"setting {where}={fault['input']!r} is not valid: {fault['msg']}") from None
    return out
