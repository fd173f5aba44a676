"""Settings given as dotted keys (`--set train.steps=200`, or tables of a TOML file), laid over configs.

What a setting may be stands at its config's field, as a type and its bounds, and nowhere else.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, ValidationError

from gcbench.core.errors import UserError
from gcbench.core.files import parse_json, read_toml

Count = Annotated[int, Field(ge=1, le=10**8)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = NonNegativeFloat


class Config(BaseModel):
    """What a checkpoint or a run is made by: unknown keys are refused, and numbers are finite."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


AnyConfig = TypeVar("AnyConfig", bound=BaseModel)


def read_settings(config: Path | None, pairs: Sequence[str] = ()) -> dict[str, Any]:
    """Flat dotted keys from a TOML file and `KEY=VALUE` pairs (values are JSON, else text); the pairs win."""
    settings: dict[str, Any] = {}
    if config is not None:
        try:
            _flatten("", read_toml(Path(config)), settings)
        except OSError as error:
            raise UserError(f"--config {config} cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"--config {config} is not valid TOML: {error}") from None
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"--set {pair!r} lacks '='; write --set KEY=VALUE, for example --set train.steps=200")
        try:
            settings[key] = parse_json(value)
        except ValueError:
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
    UserError: an unknown key (near names suggested), or a value of the wrong type or out of its bounds."""
    data = {name: config.model_dump() for name, config in configs.items()}
    for key, value in settings.items():
        if not _lay(data, key, value):
            known: dict[str, Any] = {}
            _flatten("", data, known)
            raise UserError(f"unknown setting {key!r}{_hint(key, {name: name for name in known})}")
    out = []
    for name, config in configs.items():
        try:
            out.append(type(config).model_validate(data[name]))
        except ValidationError as error:
            fault = error.errors()[0]
            raise UserError(_refusal(".".join([name, *map(str, fault["loc"])]), fault["input"], fault)) from None
    return out


def apply_to_fields(
    config: AnyConfig, prefix: str, fields: Mapping[str, str], settings: Mapping[str, Any]
) -> AnyConfig:
    """The config with `prefix.KEY` settings laid over its dotted `fields[KEY]`; no other can be set.
    UserError: a key that is none of `fields`, or a value that its field does not take."""
    data, known = config.model_dump(), {f"{prefix}.{key}": field for key, field in fields.items()}
    for key, value in settings.items():
        if key not in known:
            named = key.removeprefix("model.")  # as the field is called in training, or its last part
            meant = [name for name, field in known.items() if named in (field, field.rpartition(".")[2])]
            written = {last: f"{prefix}.{last}" for last in fields}
            hint = f"; it is called {meant[0]} here" if meant else _hint(key.rpartition(".")[2], written)
            rest = "; the rest was settled in training" if "known: " in hint else ""
            raise UserError(f"unknown setting {key!r}{hint}{rest}")
        _lay(data, known[key], value)
        try:
            config = type(config).model_validate(data)
        except ValidationError as error:
            raise UserError(_refusal(key, value, error.errors()[0])) from None
    return config


def _lay(data: dict[str, Any], key: str, value: Any) -> bool:
    """Put `value` in its place in nested `data`; False if there is no such place."""
    table: Any = data
    *parents, last = key.split(".")
    for parent in parents:
        table = table.get(parent) if isinstance(table, dict) else None
    if not isinstance(table, dict) or last not in table:
        return False
    table[last] = value
    return True


def _hint(key: str, known: Mapping[str, str]) -> str:
    """known: what may be meant -> how it is written."""
    near = [known[name] for name in get_close_matches(key, known, n=3)]
    return f"; did you mean {' or '.join(near)}?" if near else f"; known: {', '.join(known.values())}"


ALLOWED = {
    "greater_than_equal": "give at least {ge}",
    "greater_than": "give more than {gt}",
    "less_than_equal": "give at most {le}",
    "less_than": "give less than {lt}",
    "literal_error": "choose {expected}",
    "value_error": "{error}",
}
"""pydantic's kinds of fault, in our words."""


def _refusal(setting: str, value: Any, fault: Mapping[str, Any]) -> str:
    """One sentence that names a setting and says what it may be."""
    if fault["type"] in ALLOWED:
        bounds = {key: f"{bound:g}" if isinstance(bound, float) else str(bound) for key, bound in fault["ctx"].items()}
        if "expected" in bounds:
            bounds["expected"] = bounds["expected"].replace("'", "")
        allowed = ALLOWED[fault["type"]].format(**bounds)
    else:
        allowed = fault["msg"].replace("Input should be", "give")
    return f"setting {setting}={value!r} is not valid: {allowed}"
