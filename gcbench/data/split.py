"""Divide a folder dataset of one split into splits to train on, to evaluate on and, if wanted, to test on."""

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gcbench.core.errors import UserError
from gcbench.core.files import write_text
from gcbench.data.dataset_toml import CONFIG
from gcbench.data.folder import PROMPTS, Folder, group_of
from gcbench.data.image_files import regular
from gcbench.data.pair_files import Pair
from gcbench.data.prompts import write_prompts


class SplitPlan(NamedTuple):
    """splits: name -> its pairs, in the order of dataset.toml. group_by: its pattern, None for one that has none."""

    splits: Mapping[str, Sequence[Pair]]
    group_by: str | None


def plan_split(dataset: Folder, val: float, test: float = 0.0, seed: int = 0, group_by: str | None = None) -> SplitPlan:
    """Which pairs go where. A share is of all pairs; whole groups are drawn in an order seeded by `seed`.

    A group is taken for `val` (then for `test`) if that brings the split nearer to its share, so pairs that are their
    own groups give the exact share, rounded. Every split gets one group at least, the smallest if none fits.
    UserError: a share that is none, a dataset with other splits, fewer groups than splits."""
    shares = {"val": val} | ({"test": test} if test else {})
    for name, share in shares.items():
        if not (math.isfinite(share) and 0 < share < 1):
            raise UserError(f"--{name} {share:g} is no share of the pairs; give a number between 0 and 1, such as 0.2")
    if sum(shares.values()) > 1 - 1e-9:
        raise UserError(f"--val {val:g} and --test {test:g} leave nothing to train on; give shares of a sum below 1")
    if seed < 0:
        raise UserError(f"--seed {seed} is negative; give 0 or more")
    if len(dataset.splits) > 1:
        raise UserError(f"{dataset.root} has the splits {', '.join(dataset.splits)} already; nothing is to be divided")
    [only] = dataset.splits
    groups = _groups(dataset, dataset.pairs(only), only, group_by)
    if len(groups) <= len(shares):
        raise UserError(
            f"{dataset.root} has too few groups of pairs ({len(groups)}) for {len(shares) + 1} splits, and none is cut;"
            f" add images, or name smaller groups in {PROMPTS} or with --group-by"
        )
    total = sum(map(len, groups.values()))
    names = sorted(groups)
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    taken: dict[str, set[str]] = {}
    for position, (split, share) in enumerate(shares.items()):
        goal, count = round(share * total), 0
        chosen: set[str] = set()
        spare = len(order) - (len(shares) - position)  # groups that the splits after this one can do without
        for name in order:
            size = len(groups[name])
            if len(chosen) < spare and abs(count + size - goal) < abs(count - goal):
                chosen.add(name)
                count += size
        taken[split] = chosen or {min(order, key=lambda name: len(groups[name]))}
        order = [name for name in order if name not in taken[split]]
    taken["train"] = set(order)
    splits = [name for name in ("train", "test", "val") if name in taken]  # the last is evaluated on by default
    return SplitPlan(
        {
            split: sorted((pair for name in taken[split] for pair in groups[name]), key=lambda pair: pair.id)
            for split in splits
        },
        group_by or dataset.config.group_by,
    )


def write_split(
    dataset: Folder, plan: SplitPlan, out: Path, link: bool = False, progress: Callable[[], object] = lambda: None
) -> None:
    """Write the splits of a plan as a new folder dataset; all of it appears at `out` at once, or nothing does.

    link: images and layouts become hard links to the same files instead of copies. progress: called after each pair.
    UserError: `out` holds something, or cannot be written."""
    out = Path(out)
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"--out {out} is there already and stays as it is; choose another --out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
            whole = Path(temporary) / "whole"  # with the permissions of a plain folder
            _write(dataset, plan, whole, link, progress)
            os.replace(whole, out)
    except OSError as error:
        hint = "leave out --link" if link else "free space or choose another --out"
        raise UserError(f"cannot write {out}: {error.strerror or error}; {hint}") from error


def _write(dataset: Folder, plan: SplitPlan, root: Path, link: bool, progress: Callable[[], object]) -> None:
    lines = dataset.prompts[dataset.splits[0]]
    for split, pairs in plan.splits.items():
        for part in ("images", "layouts"):
            (root / split / part).mkdir(parents=True)
        for pair in pairs:
            for source, part in ((pair.image, "images"), (pair.layout, "layouts")):
                regular(source, "file")
                target = root / split / part / source.name
                if link:
                    os.link(source.resolve(), target)
                else:
                    shutil.copyfile(source, target)
            progress()
        if lines is not None:
            write_prompts(root / split / PROMPTS, [lines[pair.id] for pair in pairs if pair.id in lines])
    update = {"splits": list(plan.splits), "size": list(dataset.size), "group_by": plan.group_by}
    write_text(root / CONFIG, dataset.config.model_copy(update=update).toml())


def _groups(dataset: Folder, pairs: Sequence[Pair], split: str, group_by: str | None) -> dict[str, list[Pair]]:
    """Group -> its pairs: the dataset's own groups, or those that `group_by` finds in file names."""
    lines = dataset.prompts[split] or {}
    if group_by is not None and (named := next((line.file_name for line in lines.values() if line.group), None)):
        raise UserError(f"{PROMPTS} names groups already ({named} has one); leave --group-by out")
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        group = pair.group if group_by is None else group_of(pair.id, group_by, pair.image)
        groups.setdefault(group, []).append(pair)
    return groups
