"""What `gcbench downstream` measured as tables: a row an arm, the differences from `real`, and IoU class by class."""

from collections.abc import Iterator

from gcbench.core.run_spec import guidance_text
from gcbench.core.score import FEW_GROUPS
from gcbench.reports.table import Cell, Column, Row, Table
from gcbench.runs.downstream_record import Arm, Downstream

KEY = "downstream"
FEW_SEEDS = 3


MIOU = Column(KEY, "mIoU", "%", "higher", 100.0, (0.0, 1.0), metric=KEY)


def downstream_tables(result: Downstream) -> list[Table]:
    """The arms with their differences, then IoU by class."""
    protocol = result.protocol
    seeds = {_name(arm): ", ".join(_percent(seed.miou.value) for seed in arm.seeds) for arm in result.arms}
    p_values = {f"{difference.of}: {difference.arm} - real": difference.p_value for difference in result.differences}
    rows = [Row(_name(arm), scores={KEY: arm.miou}) for arm in result.arms if arm.miou is not None]
    for difference in result.differences:
        score = difference.miou
        cell = MIOU.scaled(score.value, score.interval, score.standard_error, n=score.n)
        rows.append(Row(f"{difference.of}: {difference.arm} - real", "difference", cells={KEY: cell}))
    columns = [
        MIOU,
        Column("seeds", "each seed", of=lambda row: seeds.get(row.name)),
        Column("p", "p", of=lambda row: p_values.get(row.name), show=lambda p: "< 0.001" if p < 0.001 else f"{p:.3f}"),
    ]
    title = (
        f"Downstream mIoU on {protocol.dataset}/{protocol.test_split}: segmenters trained on {protocol.n} pairs,"
        f" {protocol.steps} steps, {len(protocol.seeds)} seeds"
    )
    by_class = [Row(_name(arm), cells=_cells(arm)) for arm in result.arms if arm.miou is not None]
    names = dict.fromkeys(name for row in by_class for name in row.cells)
    classes = [Column(name, name, "%", scale=100.0, metric=KEY, part=name) for name in names]
    tables = [Table(title, columns, rows, list(_notes(result)))]
    return tables + (
        [Table("IoU by class (%), the mean over seeds", classes, by_class, across=True)] if classes else []
    )


def _name(arm: Arm) -> str:
    return arm.arm if arm.of is None else f"{arm.of}: {arm.arm}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _cells(arm: Arm) -> dict[str, Cell]:
    classes = arm.miou.detail.get("per_class", {}) if arm.miou is not None else {}
    assert isinstance(classes, dict)
    return {name: MIOU.scaled(value) for name, value in classes.items()}


def _notes(result: Downstream) -> Iterator[str]:
    protocol = result.protocol
    generated, real = protocol.ratio
    network = ", ".join(f"{key} {value}" for key, value in protocol.network.items() if key in ("arch", "scale"))
    yield (
        f"real: {protocol.n} pairs of {protocol.train_split}; both: these and the generated ones, {generated}:{real} in"
        f" each epoch. All arms: {protocol.steps} steps of {protocol.train.get('batch_size')} images of"
        f" {protocol.size[0]}×{protocol.size[1]}; {network}."
    )
    held = "the test images" if protocol.pair_sets > 1 else "the pairs and the test images"
    yield (
        f"± is half the 95 % interval over seeds (Student's t), {held} fixed; each seed's own interval over the"
        f" {protocol.test_n} test images is in the record."
    )
    if protocol.pair_sets > 1:
        yield "Each seed has pairs of its own, real and generated."
    if len(protocol.seeds) == 1:
        yield "One seed: nothing can be said of the spread; give --seeds 3."
    elif len(protocol.seeds) < FEW_SEEDS:
        yield f"Fewer than {FEW_SEEDS} seeds: the intervals are wide, and uncertain themselves."
    groups = [seed.miou.groups for arm in result.arms for seed in arm.seeds if seed.miou.groups is not None]
    if groups and min(groups) < FEW_GROUPS:
        yield f"The test images are of {min(groups)} groups only."
    for name, info in result.models.items():
        scale = "" if info.guidance is None else f", guidance {guidance_text(info.guidance)}"
        texts = "no texts" if info.prompts is None else f"captions of {info.prompts}"
        layouts = "" if info.layouts == "generated" else f", layouts {info.layouts}"
        yield f"{name}: {info.model.name}{scale}, {texts}{layouts}."
        yield from (f"{name}: {note}." for note in info.notes)
    for row, why in result.left_out.items():
        yield f"{row} is left out: {why}."
