"""`gcbench sample`: images and layouts from given texts, as a folder that `gcbench evaluate` reads."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gcbench.core.errors import UserError
from gcbench.core.files import text_hash
from gcbench.core.protocol import Protocol
from gcbench.core.record import Record
from gcbench.core.reference import Prompts, Reference
from gcbench.core.run_spec import RunSpec, check_given, guidance_text
from gcbench.core.samples import Samples
from gcbench.data.contact_sheet import save_png
from gcbench.data.open_dataset import open_dataset
from gcbench.data.prompts import FIRST, check_texts, further_texts, read_texts
from gcbench.evaluation.generation import Generator
from gcbench.evaluation.given import GivenRows, given_files, texts_beside
from gcbench.evaluation.setup import (
    choose_device,
    evaluation_split,
    model_info,
    open_model,
    reading_lines,
    reading_of,
    sampler_of,
    size_of,
)
from gcbench.reports.sample_grid import SheetRow, sheet
from gcbench.runs.manifest import GRID, point_folder
from gcbench.runs.progress import Bar, say
from gcbench.runs.provenance import provenance
from gcbench.runs.run_directory import RunDirectory
from gcbench.runs.sample_folder import PROMPTS, SampleFolder

SHOWN = 16
"""Samples of each scale on the contact sheet."""


def sample(
    out: Path,
    model: str = "gcdp",
    dataset: str = "streets",
    *,
    prompts: Sequence[str] | str | Path = (),
    texts: str = FIRST,
    given_layouts: Path | None = None,
    given_images: Path | None = None,
    repeats: int | None = None,
    n: int | None = None,
    guidance: str | float | Sequence[float] = 3.0,
    fresh: bool = False,
    returned: bool = True,
    **options: Any,
) -> list[Samples]:
    """Draw n samples (8) a guidance scale: of `prompts` in turn, or of the evaluation split's captions; write them.

    prompts: texts, or a file of them as `evaluate` takes it, whose number is then n. texts: of an image that has
    several in the file, its `first` (and how many are left out is said) or `all`, one sample each.

    given_layouts, given_images: a folder, zip or npz of what is known of the samples; the other part is drawn. Each has
    the name of its file; n takes the first only. The texts are then `prompts`, or one that is empty, else those of a
    `prompts.jsonl` beside the files or the captions of the dataset's pairs, if the files are of these; else there are
    none. repeats: how often every step is taken with what is given (`gcbench.diffusion.completion.complete`).
    options: further fields of `RunSpec`, named as the options of `gcbench sample`. One scale is written into `out`
    itself, several into `out`/guidance-SCALE; `out`/grid.png shows all. Called again with the same arguments, it draws
    what is missing, and the images are those of a call that was never stopped. returned: off, the list that is returned
    stays empty, and memory does not grow with n.

    Raises:
        UserError: an empty prompt, what opening the model and the dataset refuses, or other samples in `out`.
    """
    place, options = check_given(given_layouts, given_images, repeats, options)
    fewest = 8
    if from_file := isinstance(prompts, str | Path):
        prompts, fewest = chosen_texts(Path(prompts), texts)
    no_text = place is not None and list(prompts) == [""]
    spec = RunSpec.of(
        model=model, dataset=dataset, n=fewest if n is None else n, guidance=guidance, batch_size=8, **options
    )
    if from_file and spec.n < fewest:
        say(f"Left out: all but the first {spec.n} of {fewest} texts; leave -n out to draw them all.")
    for i, text in enumerate([] if no_text else prompts, 1):
        if not text.strip():
            raise UserError(f"prompt {i} is empty; give a text or leave it out")
        if text.encode("utf-8", "replace") != text.encode("utf-8", "surrogatepass"):
            raise UserError(f"prompt {i} is not valid UTF-8; give it in that encoding")
    device = choose_device(spec.device)
    out = Path(out)
    if place is not None and out.resolve() == place.resolve():
        raise UserError(f"--out {out} is what is given; choose another directory")
    scales = spec.guidance or (1.0,)
    names = [point_folder(scale) for scale in scales] if len(scales) > 1 else ["images", "layouts", PROMPTS]
    inputs = {"--dataset": Path(spec.dataset), **spec.weights, f"--given-{spec.given}": place}
    with RunDirectory(out, fresh, [GRID, *names], inputs) as folder:
        opened = open_dataset(spec.dataset)
        drawing = open_model(spec, opened, device)
        if prompts and not drawing.conditional:
            raise UserError(f"model {model} reads no prompts; leave --prompt out")
        if len(scales) > 1 and not drawing.guided:
            listed = ",".join(map(guidance_text, scales))
            raise UserError(f"--guidance {listed}: {model} has no guidance, its samples are the same at each; give one")
        reference = Reference(opened, evaluation_split(opened, spec.split), size_of(spec, opened, drawing))
        given = None
        if spec.given and place is not None:
            given = given_files(spec.given, place, opened, reference.size, n)
        chosen = texts_of(() if no_text else prompts, spec.n, reference, given, None if no_text else place)
        if drawing.conditional and not chosen.texts:
            say(f"No texts: {model} draws from the {spec.given} alone, and --guidance changes nothing.")
        elif drawing.conditional and chosen.note:
            say(chosen.note)
        texts_read = chosen.texts[: len(prompts) or None]  # each prompt once
        for line in reading_lines(model, reading_of(model, drawing, texts_read)):
            say(line)
        sampler = {**sampler_of(model, drawing), "guidance": ",".join(map(guidance_text, scales))}
        protocol = Protocol(
            dataset=opened.name,
            dataset_version=reference.version,
            split=reference.split,
            n=len(chosen.rows),
            size=reference.size,
            resize=opened.resize,
            prompts=text_hash(*chosen.texts) if drawing.conditional and chosen.texts else None,
            seed=spec.seed,
            sampler=sampler,
            given=None if given is None else f"{given.part} {given.hash}",
        )
        info = model_info(model, drawing)
        if info.note:
            say(f"Model: {info.note}.")
        planned = Record(kind="sample", model=info, protocol=protocol, provenance=provenance(device))
        folder.resume(planned, samples=(given and given.ids) or ())
        drawn: list[Samples] = []
        rows: list[SheetRow] = []
        with Bar("sampling", len(chosen.rows) * len(scales)) as bar:
            generator = Generator(model, drawing, reference, chosen, spec.seed, spec.batch_size, bar.advance, given)
            for scale in scales:
                written = SampleFolder(out if len(scales) == 1 else out / point_folder(scale))
                label = "" if len(scales) == 1 else f"guidance {guidance_text(scale)}"
                for i, samples in enumerate(draw_missing(generator, scale, written, folder)):
                    drawn += [samples] * returned
                    rows += [SheetRow(label, samples)] * (i < SHOWN // spec.batch_size)
                folder.check()
                save_png(out / GRID, sheet(rows, opened.palette))
    say(f"Wrote {len(chosen.rows) * len(scales)} samples and their contact sheet {out / GRID}")
    return drawn


def chosen_texts(path: Path, texts: str) -> tuple[list[str], int]:
    """The texts of a file, those that `texts` says, and their number. UserError: there are none."""
    check_texts(texts)
    several = read_texts(path)
    if not several:
        raise UserError(f"--prompts {path} holds no text; write some")
    if texts == FIRST:
        if further := further_texts(several):
            say(f"Left out: {further}; --texts all draws a sample of each.")
        several = [of_image[:1] for of_image in several]
    chosen = [text for of_image in several for text in of_image]
    return chosen, len(chosen)


def texts_of(
    prompts: Sequence[str], n: int, reference: Reference, given: GivenRows | None, place: Path | None
) -> Prompts:
    """The texts of n samples: `prompts` in turn, else those that belong to what is given at `place`, if anything is."""
    if given is not None and not prompts:
        return texts_beside(given, place, reference.dataset, reference.size)
    if not prompts:
        return reference.prompts(n)
    n = n if given is None else len(given.ids or ())
    texts = tuple(prompts[i % len(prompts)] for i in range(n))
    return Prompts(list(range(n)), texts, texts)


def draw_missing(generator: Generator, scale: float, place: SampleFolder, folder: RunDirectory) -> Iterator[Samples]:
    """The samples of one scale, batch by batch: read where they are there, else generated and written."""
    ids, groups = generator.ids, generator.prompts.groups if generator.reads_texts else None
    source = "given" if generator.given is not None and generator.given.part == "layouts" else "generated"
    for start in range(0, generator.n, generator.batch_size):
        part = range(start, min(start + generator.batch_size, generator.n))
        names = ids[part.start : part.stop]
        if place.holds(names, generator.parts, generator.reads_texts):
            with suppress(OSError, ValueError):  # a damaged image: all of its batch is drawn again
                yield place.read(names, groups and groups[part.start : part.stop], source)
                generator.progress(len(part))
                continue
        for samples in generator.batches(scale, part):
            folder.check()
            place.add(samples)
            yield samples
