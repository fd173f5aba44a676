"""Which column of a table holds images, layouts, texts, groups or class names: as it is named, else by name and type.

Reads no row: what the library says of a column's type is enough.
"""

from collections.abc import Mapping
from typing import Any

from gcbench.core.errors import UserError
from gcbench.data.hub_tables import Table

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "image": ("image", "img", "jpg", "png", "pixel_values"),
    "layout": ("layout", "annotation", "semantic_segmentation", "segmentation", "mask", "label_map", "label", "labels"),
    "text": ("text", "caption", "captions", "prompt", "texts", "sentences"),
    "group": ("group",),
    "classes": (),
}
"""What a column is for -> the names by which it is found, the first that is there and of the right type."""

WANTED = {
    "image": "images",
    "layout": "layouts (images of class ids, or two-dimensional whole numbers)",
    "text": "texts",
    "group": "names",
    "classes": "a ClassLabel",
}


def find_columns(table: Table, named: Mapping[str, str], where: object) -> dict[str, str]:
    """What for -> the column, for all that is there. named: those that the user chose. where: as messages begin.
    UserError: one that is named is not there, or not for that; there are no images."""
    features, columns = table.features, dict[str, str]()
    if strange := sorted(named.keys() - COLUMNS.keys()):
        raise UserError(f"{where}: unknown key {strange[0]!r}; known: {', '.join(COLUMNS)}, subset, rows")
    for use, known in COLUMNS.items():
        if use in named:
            column = named[use]
            if column not in features:
                raise UserError(f"{where} has no column {column!r}; its columns are {', '.join(features)}")
            if not fits(use, features[column], table.library):
                kind = f"{features[column]}".splitlines()[0][:80]
                raise UserError(f"{where}: the column {column!r} holds {kind}, not {WANTED[use]}; name another")
            columns[use] = column
            continue
        fitting = (name for name in known if name in features and fits(use, features[name], table.library))
        if (first := next(fitting, None)) is not None:
            columns[use] = first
        elif use == "image":
            names = ", ".join(features)
            raise UserError(f"{where} has no column of images; its columns are {names}: add image=COLUMN")
    return columns


def class_names(table: Table, columns: Mapping[str, str]) -> list[str] | None:
    """Of the `ClassLabel` in the column of classes, else in the layouts; None where there is none."""
    for use in ("classes", "layout"):
        inner = _inner(table.features[columns[use]]) if use in columns else None
        if isinstance(inner, table.library.ClassLabel):
            return list(inner.names)
    return None


def fits(use: str, feature: Any, library: Any) -> bool:
    """Whether a column of this type can hold what `use` says."""
    nested = _inner(feature)
    if use == "image":
        return _of_files(feature, library)
    if use == "layout":
        whole = isinstance(feature, library.Array2D) or _depth(feature) == 2
        return _of_files(feature, library) or (whole and _whole(nested, library))
    if use == "classes":
        return isinstance(nested, library.ClassLabel)
    if use == "group":
        return isinstance(feature, library.Value | library.ClassLabel)
    return _depth(feature) <= 1 and getattr(nested, "dtype", "") in ("string", "large_string")


def _inner(feature: Any) -> Any:
    """What the lists of a feature hold."""
    while (inner := _element(feature)) is not None:
        feature = inner
    return feature


def _depth(feature: Any) -> int:
    depth = 0
    while (feature := _element(feature)) is not None:
        depth += 1
    return depth


def _element(feature: Any) -> Any:
    if isinstance(feature, list):
        return feature[0]
    return None if isinstance(feature, Mapping) else getattr(feature, "feature", None)


def _of_files(feature: Any, library: Any) -> bool:
    """Whether cells are image files: decoded by the library, or their bytes, alone or with a path."""
    if isinstance(feature, Mapping):
        return set(feature) == {"bytes", "path"}
    return isinstance(feature, library.Image) or getattr(feature, "dtype", "") in ("binary", "large_binary")


def _whole(feature: Any, library: Any) -> bool:
    return isinstance(feature, library.ClassLabel) or "int" in getattr(feature, "dtype", "")
