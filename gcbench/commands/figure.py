"""`gcbench figure`: a figure of the paper from records, from weights or from a dataset, as PNG, SVG and CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gcbench.core.contracts import Dataset
from gcbench.core.errors import UserError
from gcbench.core.files import write_text
from gcbench.core.run_spec import RunSpec, guidance_text
from gcbench.core.score import FEW_GROUPS
from gcbench.data.open_dataset import open_dataset
from gcbench.runs.lock import Lock
from gcbench.runs.progress import say

if TYPE_CHECKING:
    from gcbench.core.samples import Samples

GUIDANCE = 3.0
SPELLED = {"evaluators": "--evaluator", "n": "-n"}
"""Field -> its option, where that is not --FIELD."""


class Request(NamedTuple):
    """What a figure is made of. records: folder of run directories. spec: how samples are drawn. checkpoints: of the
    models, None for those that are found. folder: of the files."""

    dataset: Dataset
    records: Path
    spec: RunSpec
    checkpoints: list[Path]
    folder: Path

    @property
    def guidance(self) -> float:
        return (self.spec.guidance or (GUIDANCE,))[0]


class Kind(NamedTuple):
    """One figure. title: what it shows. make: writes it, and returns what it wrote of numbers. takes: the options that
    it knows beside dataset and out. n: samples by default. suite: whose bundled records it is made of, if any are."""

    title: str
    make: Callable[[Request], Any]
    takes: frozenset[str]
    n: int = 64
    suite: str = ""


def draw_figure(
    number: int,
    dataset: str = "streets",
    *,
    runs: Path | None = None,
    out: Path | None = None,
    checkpoints: Sequence[Path] = (),
    **options: Any,
) -> Any:
    """Write `figureN.png`, `.svg` and `.csv` into `out`, by default ./runs/figure-N-<dataset>.

    runs: a folder that holds a run directory a model; None for the records that come with gcbench. checkpoints: weights
    of the models that are drawn; none for those that are found. options: of `RunSpec`: axes (of a trade-off, cost and
    gain), model, n, seed, guidance (one scale), steps, size, split, evaluators, device.
    UserError: an unknown figure, an option that it does not take, no record or no weights of it.
    """
    if number not in KINDS:
        known = ", ".join(f"{key} ({kind.title})" for key, kind in KINDS.items())
        raise UserError(f"there is no figure {number} here; known: {known}")
    kind = KINDS[number]
    given = {"runs": runs, "checkpoint": checkpoints, **options}
    for name in (name for name, value in given.items() if value and name not in kind.takes):
        known = ", ".join(SPELLED.get(option, f"--{option}") for option in sorted(kind.takes))
        raise UserError(f"{SPELLED.get(name, f'--{name}')} means nothing to figure {number}; it takes {known}")
    chosen = {name: value for name, value in options.items() if value is not None}
    spec = RunSpec.of(dataset=dataset, **{"n": kind.n, "batch_size": 8, **chosen})
    if spec.guidance is not None and len(spec.guidance) > 1:
        raise UserError("--guidance: a figure of samples is drawn at one scale; give one")
    opened = open_dataset(dataset)
    bundle = Path(str(files("gcbench.results"))) / "measured" / opened.name / kind.suite
    folder = out or Path("runs") / f"figure-{number}-{opened.name}"
    with Lock(folder):
        result = kind.make(Request(opened, bundle if runs is None else Path(runs), spec, list(checkpoints), folder))
    say(f"Wrote {folder}/figure{number}.png, .svg and .csv")
    return result


def _remedy(request: Request) -> str:
    return (
        "train each model with `gcbench train --model NAME --dataset"
        f" {request.dataset.argument} --split SPLIT`, measure it with `gcbench sweep --until-saturation`, and give the"
        " folder of the run directories as --runs"
    )


def _of_parts(number: int) -> Callable[[Request], Any]:
    """The figure `number` of records of models that were trained on parts of the pairs."""

    def make(request: Request) -> Any:
        from gcbench.reports import figure1, figure7
        from gcbench.reports.figure_records import of_most_texts, read_records

        remedy = _remedy(request)
        axes = request.spec.axes
        records = read_records(request.dataset, request.records, remedy, axes=axes, choose=of_most_texts)
        module = {1: figure1, 7: figure7}[number]
        numbers, left_out = module.make(request.dataset, records, remedy, request.folder)
        _say_left_out(left_out)
        return numbers

    return make


def _triplets(request: Request) -> Any:
    from gcbench.evaluation.setup import evaluation_split
    from gcbench.reports import figure2

    split = evaluation_split(request.dataset, request.spec.split)
    return figure2.make(request.dataset, split, request.spec.n, request.folder)


def _samples(request: Request) -> Any:
    from gcbench.evaluation.figure_models import opened, specs
    from gcbench.evaluation.generation import joined
    from gcbench.reports import figure5
    from gcbench.runs.progress import Bar

    spec, guidance = request.spec, request.guidance
    drawn, lines, facts = {}, [], []
    for model in opened(specs(spec, request.checkpoints), request.dataset):
        with Bar(f"sampling {model.name}", spec.n) as bar:
            generator = model.generator(bar)
            samples = joined(list(generator.batches(guidance, range(spec.n))), model.name)
        drawn[model.name] = samples
        lines += figure5.rows(model.name, guidance, spec.seed, samples, request.dataset)
        facts.append(model.fact())
    figure5.write_rows(lines, request.folder)
    caption = (
        f"samples of held-out texts of {model.reference}, guidance {guidance_text(guidance)}, seeds from {spec.seed},"
        f" not chosen\n{'; '.join(facts)}"
    )
    figure5.draw(drawn, request.dataset, caption, request.folder)
    return lines


def _realism(request: Request) -> Any:
    from gcbench.reports.figure6 import as_csv, gather
    from gcbench.reports.figure6_panels import draw

    gathered = gather(request.dataset, request.records, request.spec.axes)
    _say_left_out(gathered.left_out)
    write_text(request.folder / "figure6.csv", as_csv(gathered.numbers))
    draw(gathered, request.folder, "figure6")
    return gathered


def _clusters(request: Request) -> Any:
    from gcbench.evaluation import feature_clusters as clusters
    from gcbench.evaluation.figure_models import opened, specs, with_decoder_features
    from gcbench.reports import figure8

    spec = request.spec
    others = with_decoder_features() if spec.model == RunSpec().model else ()
    lines, clustered, facts, first = list[dict[str, Any]](), [], [], None
    for model in opened(specs(spec, request.checkpoints, others), request.dataset):
        pairs = clusters.real_pairs(model)
        first = first or (model, pairs)
        clustered.append((clusters.clusters_of(model, pairs, spec.seed), pairs))
        facts.append(model.fact())
        lines += [clusters.row(agreement) for agreement in clustered[-1][0].agreements]
    assert first is not None
    level = list(clustered[0][0].levels)[-2:][0]  # the last but one: fine enough to see, not yet the image's own head
    tiles = {
        name: {
            time: tile
            for (of, at, time), tile in clusters.coloured(of_model, pairs, request.dataset).items()
            if (of, at) == (name, level)
        }
        for of_model, pairs in clustered
        for name in dict.fromkeys(entry.model for entry in of_model.agreements)
    }
    model, pairs = first
    assert pairs.layouts is not None
    caption = (
        f"K-means of decoder features (below: level {level}) of real pairs of {model.reference} noised at time t, with"
        f" their texts; as many clusters as the layout has classes at that size, coloured by the most frequent class"
        f" inside; n = {len(pairs)},"
        f" {model.reference.size[0]}×{model.reference.size[1]}, seed {spec.seed}; bars are 95 % intervals"
        "\nmodels that read layouts see the noised layout, or with 'layout hidden' noise in its place"
        f"{_few_groups(pairs)}\n{'; '.join(facts)}"
    )
    figure8.draw(
        lines,
        figure8.Shown(pairs.images[0], pairs.layouts[0], {k: v for k, v in tiles.items() if v}, level),
        request.dataset,
        caption,
        request.folder,
    )
    return lines


def _outpainting(request: Request) -> Any:
    from gcbench.evaluation import outpainting
    from gcbench.evaluation.figure_models import specs
    from gcbench.reports import figure9

    (spec, *more) = specs(request.spec, request.checkpoints)
    if more:
        raise UserError("figure 9 is of one model; give one --checkpoint")
    result = outpainting.outpaint(spec, request.dataset, request.guidance)
    lines = [outpainting.facts(entry) for entry in result.completed]
    shown = min(4, len(result.real))
    strips: dict[str, list[figure9.Strip]] = {}
    for given, direction in outpainting.DIRECTIONS.items():
        other = "images" if given == "layouts" else "layouts"
        rows = [figure9.Strip(f"given\n{given[:-1]}", getattr(result.real, given)[:shown])]
        for repeats in (*outpainting.REPEATS, None):
            entry = result.of(given, repeats)
            name = f"real\n{other[:-1]}" if repeats is None else f"drawn,\nn = {repeats}"
            label = figure9.row_label(name, outpainting.facts(entry))
            rows.append(figure9.Strip(label, getattr(entry.samples, other)[:shown]))
        strips[direction] = rows
    model = result.model
    caption = (
        f"{model.reference}, {len(result.real)} held-out pairs with their texts,"
        f" guidance {guidance_text(request.guidance)}, {model.reference.size[0]}×{model.reference.size[1]},"
        f" seeds from {spec.seed}; n: how often each step is"
        f" taken; evaluator {result.evaluator}; faithfulness: mean IoU of the given layout and what the evaluator"
        " sees; mIoU: of the true and the drawn layout; real: what the evaluator sees in the real image;"
        f" 95 % intervals{_few_groups(result.real)}\n{model.fact()}"
    )
    figure9.draw(lines, strips, request.dataset, caption, request.folder)
    return lines


def _few_groups(pairs: Samples) -> str:
    """The line of a caption that says so, where the intervals over the pairs' groups are of few; else empty."""
    groups = len(set(pairs.groups or pairs.ids))
    if groups >= FEW_GROUPS:
        return ""
    return f"\nfewer than {FEW_GROUPS} groups ({groups}): the intervals are wide, and uncertain themselves"


def _say_left_out(lines: Sequence[str]) -> None:
    for line in lines:
        say(f"Not drawn: {line}")


RECORDS = frozenset(("runs", "axes"))
SAMPLED = frozenset(("checkpoint", "model", "n", "seed", "steps", "size", "split", "device"))

KINDS = {
    1: Kind("recall of each attribute, trained on parts of the pairs", _of_parts(1), RECORDS, suite="claim"),
    2: Kind("triplets of image, text and layout", _triplets, frozenset(("n", "split")), 4),
    5: Kind("samples with their texts", _samples, SAMPLED | {"guidance"}, 4),
    6: Kind("realism against correspondence with the text", _realism, RECORDS, suite="figure6"),
    7: Kind("the same, trained on parts of the pairs", _of_parts(7), RECORDS, suite="claim"),
    8: Kind("clusters of the network's features over time", _clusters, SAMPLED, 16),
    9: Kind("layout to image and image to layout", _outpainting, SAMPLED | {"guidance", "evaluators"}, 32),
}
