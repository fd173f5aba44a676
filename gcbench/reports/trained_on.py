"""Records by the split that their model was trained on: what the figures of smaller training sets are made of."""

from collections.abc import Mapping
from typing import NamedTuple

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.record import Record


class BySplit(NamedTuple):
    """records: split, the smallest first -> model -> its record. names: (split, model) -> name of the run directory.
    shares: split -> its pairs in per cent of the whole training split's."""

    records: dict[str, dict[str, Record]]
    names: dict[tuple[str, str], str]
    shares: dict[str, float]
    left_out: list[str]

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(model for records in self.records.values() for model in records))

    def title(self, split: str) -> str:
        return f"{self.shares[split]:.0f} % of the pairs ({split})"


def by_split(records: Mapping[str, Record], dataset: Dataset, remedy: str) -> BySplit:
    """One record a model and split, by what the record says of the training.
    UserError: none says it; with `remedy`."""
    known = {name: len(dataset.ids(name)) for name in (*dataset.parts, *dataset.splits[:-1])}
    found: dict[str, dict[str, Record]] = {}
    names: dict[tuple[str, str], str] = {}
    left_out = []
    for name, record in records.items():
        split, model = record.training.split if record.training else None, record.model.name
        if split is None:
            left_out.append(f"{name}: its record does not say on which split its model was trained")
        elif split not in known:
            left_out.append(f"{name}: trained on {split}, which is no training split of {dataset.name}")
        elif (split, model) in names:
            left_out.append(f"{name}: {names[split, model]} is of {model} on {split} too")
        else:
            found.setdefault(split, {})[model] = record
            names[split, model] = name
    if not found:
        raise UserError(f"no record to draw for {dataset.name} ({'; '.join(left_out)}); {remedy}")
    order = sorted(found, key=lambda split: known[split])
    whole = known[dataset.splits[0]]
    return BySplit(
        {split: found[split] for split in order},
        names,
        {split: 100 * known[split] / whole for split in order},
        left_out,
    )
