"""What a `dataset.toml` says of classes, in one form for every dataset of a user's own. Knows no images."""

import json
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gcbench.core.errors import UserError
from gcbench.core.files import read_toml
from gcbench.data.class_tables import distinct_colours
from gcbench.text.captions import plural

CONFIG = "dataset.toml"

Model = TypeVar("Model", bound=BaseModel)


class Config(BaseModel):
    """What the `dataset.toml` of a folder may say. Only `name` and `classes` must be there.

    classes: their places are the ids in layouts. palette: RGB, one a class. splits: folders, the one to train on first.
    size: the default [H, W]. void: a class or its id. group_by: a pattern of file names, see `group_of`, for
    pairs whose group `prompts.jsonl` does not name. aliases: class -> the words that name it.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1)
    classes: list[str] = Field(min_length=2, max_length=255)
    palette: list[list[int]] | None = None
    splits: list[str] | None = None
    size: list[int] | None = None
    void: str | int | None = None
    group_by: str | None = None
    aliases: dict[str, list[str]] = Field(default_factory=dict)

    def toml(self) -> str:
        """A `dataset.toml` with the keys that are set. JSON's strings, numbers and lists are TOML too."""

        def text(value: object) -> str:
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

        values = self.model_dump(exclude_none=True, exclude={"aliases"})
        rows = [f"{key} = {text(value)}" for key, value in values.items()]
        if self.aliases:
            rows += ["\n[aliases]", *(f"{text(name)} = {text(words)}" for name, words in self.aliases.items())]
        return "\n".join(rows) + "\n"


def read_config(where: Path, model: type[Model]) -> Model:
    """The keys of a file as a `model` has them. UserError: there is no such file, or its first fault."""
    try:
        content = read_toml(where)
    except FileNotFoundError as error:
        raise UserError(f'{where} is not there; write one with name = "…" and classes = ["…", …]') from error
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {where} ({error}); correct it") from error
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if part not in ("str", "int"))
        known = list(model.model_fields)
        if first["type"] == "extra_forbidden":
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
            raise UserError(f"{where}: unknown key {key!r}; {hint}") from error
        if first["type"] == "missing":
            raise UserError(f"{where}: the key {key!r} is missing; add it") from error
        raise UserError(f"{where}: {key}: {first['msg'].lower()}; correct it") from error


def void_of(config: Config, where: object) -> int | None:
    """The id of the void class. UserError, which begins with `where`: it is no class."""
    if len(set(config.classes)) != len(config.classes):
        raise UserError(f"{where}: classes names one class twice; give every class a name of its own")
    if config.void is None:
        return None
    if isinstance(config.void, str):
        if config.void not in config.classes:
            raise UserError(f"{where}: void = {config.void!r} is not among classes; add it there or correct the name")
        return config.classes.index(config.void)
    if not 0 <= config.void < len(config.classes):
        raise UserError(f"{where}: void = {config.void} is no id of the {len(config.classes)} classes; correct it")
    return config.void


def palette_of(config: Config, where: object) -> tuple[tuple[int, int, int], ...]:
    """The classes' colours. UserError: they are not one triple a class."""
    k = len(config.classes)
    if config.palette is None:
        return distinct_colours(k)
    if len(config.palette) != k or any(len(c) != 3 or not 0 <= min(c) <= max(c) <= 255 for c in config.palette):
        raise UserError(f"{where}: palette must be {k} triples [R, G, B] of 0 to 255, one a class")
    return tuple((r, g, b) for r, g, b in config.palette)


def aliases_of(config: Config, void: int | None, where: object) -> dict[str, tuple[str, ...]]:
    """Class -> its words: those that are given, else its name and that in the plural."""
    for name in config.aliases:
        if name not in config.classes:
            raise UserError(f"{where}: aliases.{name} is no class; correct the name")
    return {
        name: tuple(dict.fromkeys(w.lower() for w in config.aliases.get(name, (name, plural(name)))))
        for i, name in enumerate(config.classes)
        if i != void
    }
