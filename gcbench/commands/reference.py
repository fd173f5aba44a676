"""`gcbench data reference`: the mean and covariance of an evaluator's features, in a file that says what it is."""

from pathlib import Path

from gcbench.core.errors import UserError
from gcbench.core.reference import Reference
from gcbench.core.run_spec import check_evaluators, parse_size
from gcbench.data.open_dataset import open_dataset
from gcbench.data.reference_file import About, write_reference_file
from gcbench.evaluation.feature_cache import ReferenceFeatures
from gcbench.evaluation.scoring import batches, open_evaluator
from gcbench.evaluation.setup import choose_device, evaluation_split
from gcbench.runs.progress import Bar, say
from gcbench.statistics.moments import Growing, Moments, moments


def write_reference(
    name: str, out: Path, split: str | None = None, evaluator: str = "inception=tf1", size: str | None = None,
    device: str = "auto",
) -> None:  # fmt: skip
    """Write what `--reference` reads. UserError: the evaluator cannot be had, or gives no pooled features."""
    if out.suffix.lower() != ".npz":
        raise UserError(f"--out {out}: give a name that ends in .npz")
    [(role, spec)] = check_evaluators([evaluator]).items()
    dataset = open_dataset(name)
    reference = Reference(dataset, evaluation_split(dataset, split), parse_size(size) or dataset.size)
    opened = open_evaluator(role, spec, dataset, choose_device(device))
    rows = Growing()
    with ReferenceFeatures(reference, {role: opened}) as kept, Bar("evaluating real images", len(reference)) as bar:
        for places in batches(len(reference)):
            samples = reference.samples(places, places.start)
            vectors = kept.features(places, samples)[role].vectors
            if vectors is None:
                raise UserError(f"--evaluator {evaluator} gives no pooled features; choose another")
            rows.add(samples.ids, vectors.float().cpu().numpy())
            bar.advance(len(places))
    if len(reference) < 2:
        raise UserError(f"{reference} has one image; at least 2 have a covariance")
    held = rows.condensed()
    summed = held if isinstance(held, Moments) else moments(held)
    about = About(
        role=role,
        evaluator=opened.id,
        n=len(reference),
        dataset=dataset.name,
        dataset_version=reference.version,
        split=reference.split,
        size=reference.size,
        resize=dataset.resize,
    )
    write_reference_file(out, summed.mean, summed.covariance, about)
    say(f"{out}: {len(summed.mean)} features of {len(reference)} images of {reference}, by {opened.id}")
    say(f"Measure against it with --reference {out} --evaluator {evaluator}")
