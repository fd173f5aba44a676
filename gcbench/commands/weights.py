"""`gcbench weights`: which files of other people are here, getting them, and whether they are what they should be."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import ceil
from pathlib import Path

from gcbench.core.checkpoint import Card, save
from gcbench.core.contracts import Size
from gcbench.core.errors import UserError
from gcbench.core.files import file_hash
from gcbench.core.registry import registry
from gcbench.data.open_dataset import known_of
from gcbench.runs.progress import Bar, say
from gcbench.weights import fetch as fetching
from gcbench.weights.manifest import MANIFEST, find_entry, place, read_manifest
from gcbench.weights.official import fault_of

MB = 1e6  # bytes


def list_weights(manifest: Path = MANIFEST) -> None:
    """Every entry: whether it is here, its size and licence, what it is, and where it belongs."""
    for name, entry in read_manifest(manifest).items():
        path = place(name, entry)
        state = "here" if path.is_file() else "not here"
        size = f"{entry.size / MB:.1f} MB" if entry.size else "size not published"
        print(f"{name}: {state}, {size}, {entry.licence}\n  {entry.role}: {entry.what}\n  {path}")
    say("`gcbench weights fetch NAME` puts a file there; GCBENCH_WEIGHTS=FOLDER chooses another folder for all.")


def fetch(name: str, given: Path | None = None, manifest: Path = MANIFEST) -> None:
    """Put the file `name` into its place, with a progress bar."""
    entry = find_entry(name, manifest)
    with _shown(f"{name}, MB") as progress:
        path = fetching.fetch(name, given=given, manifest=manifest, progress=progress, say=say)
    say(f"{path}: verified by {entry.proof()}; licence {entry.licence}")


def check(names: Sequence[str] = (), manifest: Path = MANIFEST) -> bool:
    """Verify and load the files called `names`, or all that are here; whether nothing is wrong with them."""
    whole = True
    for name in names or read_manifest(manifest):
        entry = find_entry(name, manifest)
        path = place(name, entry)
        if not path.is_file():
            say(f"{name}: not here")
            whole = whole and not names
            continue
        fault = fault_of(entry, path)
        whole = whole and fault is None
        say(f"{name}: {'BROKEN: ' + fault if fault else 'it loads; verified by ' + entry.proof()}")
    return whole


def import_file(
    file: Path,
    model: str,
    dataset: str,
    out: Path | None = None,
    *,
    weights: str = "ema",
    image_schedule: str | None = None,
    size: Size | None = None,
) -> Path:
    """Store what others' code trained as a checkpoint of ours, in float32, with its card; gives the folder."""
    kind, data = registry("models")[model], known_of(dataset)
    if not hasattr(kind, "import_weights"):
        raise UserError(f"--as {model}: no file of others is known for it")
    taken = kind.import_weights(file, data, weights=weights, image_schedule=image_schedule, size=size)
    for sentence in taken.said:
        say(sentence)
    facts = {**taken.facts, "imported_from": file.name, "sha256": file_hash(file)}
    card = Card(
        kind="model",
        name=model,
        classes=data.classes,
        dataset=data.name,
        config=taken.config.model_dump(mode="json"),
        provenance={"import": facts},
    )
    folder = out or Path("runs") / f"import-{model}-{data.name}"
    save(folder / "model.safetensors", taken.state, card)
    say(f"{folder}: use it as --model {model} --dataset {dataset} --checkpoint {folder / 'model.safetensors'}")
    return folder


@contextmanager
def _shown(label: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar in megabytes that appears with the first bytes of a file whose size is known."""
    with ExitStack() as stack:
        bar: Bar | None = None

        def progress(done: int, total: int | None) -> None:
            nonlocal bar
            if total is None:
                return
            if bar is None:
                bar = stack.enter_context(Bar(label, ceil(total / MB)))
            bar.set(ceil(done / MB) if done == total else int(done / MB))

        yield progress
