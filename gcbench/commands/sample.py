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
from gcbench.core.run_spec import RunSpec, guidance_text
from gcbench.core.samples import Samples, sample_ids
from gcbench.data.contact_sheet import save_png
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.generation import Generator
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
    prompts: Sequence[str] = (),
    n: int = 8,
    guidance: str | float | Sequence[float] = 3.0,
    fresh: bool = False,
    returned: bool = True,
    **options: Any,
) -> list[Samples]:
    """Draw n samples a guidance scale: of `prompts` in turn, or of the evaluation split's captions; write them.

    options: further fields of `RunSpec`, named as the options of `gcbench sample`. One scale is written into `out`
    itself, several into `out`/guidance-SCALE; `out`/grid.png shows all. Called again with the same arguments, it draws
    what is missing, and the images are those of a call that was never stopped. returned: off, the list that is returned
    stays empty, and memory does not grow with n.

    Raises:
        UserError: an empty prompt, what opening the model and the dataset refuses, or other samples in `out`.
    """
    spec = RunSpec.of(model=model, dataset=dataset, n=n, guidance=guidance, batch_size=8, **options)
    for i, text in enumerate(prompts, 1):
        if not text.strip():
            raise UserError(f"prompt {i} is empty; give a text or leave it out")
        if text.encode("utf-8", "replace") != text.encode("utf-8", "surrogatepass"):
            raise UserError(f"prompt {i} is not valid UTF-8; give it in that encoding")
    device = choose_device(spec.device)
    out = Path(out)
    scales = spec.guidance or (1.0,)
    names = [point_folder(scale) for scale in scales] if len(scales) > 1 else ["images", "layouts", PROMPTS]
    inputs = {"--dataset": Path(spec.dataset), **spec.weights}
    with RunDirectory(out, fresh, [GRID, *names], inputs) as folder:
        opened = open_dataset(spec.dataset)
        drawing = open_model(spec, opened, device)
        if prompts and not drawing.conditional:
            raise UserError(f"model {model} reads no prompts; leave --prompt out")
        reference = Reference(opened, evaluation_split(opened, spec.split), size_of(spec, opened, drawing))
        texts = tuple(prompts[i % len(prompts)] for i in range(n)) if prompts else ()
        chosen = Prompts(list(range(n)), texts, texts) if prompts else reference.prompts(n)
        texts_read = chosen.texts[: len(prompts) or None]  # each prompt once
        for line in reading_lines(model, reading_of(model, drawing, texts_read)):
            say(line)
        sampler = {**sampler_of(model, drawing), "guidance": ",".join(map(guidance_text, scales))}
        protocol = Protocol(
            dataset=opened.name,
            dataset_version=reference.version,
            split=reference.split,
            n=n,
            size=reference.size,
            resize=opened.resize,
            prompts=text_hash(*chosen.texts) if drawing.conditional else None,
            seed=spec.seed,
            sampler=sampler,
        )
        info = model_info(model, drawing)
        folder.resume(Record(kind="sample", model=info, protocol=protocol, provenance=provenance(device)))
        drawn: list[Samples] = []
        rows: list[SheetRow] = []
        with Bar("sampling", n * len(scales)) as bar:
            generator = Generator(model, drawing, reference, chosen, spec.seed, spec.batch_size, bar.advance)
            for scale in scales:
                place = SampleFolder(out if len(scales) == 1 else out / point_folder(scale))
                label = "" if len(scales) == 1 else f"guidance {guidance_text(scale)}"
                for i, samples in enumerate(draw_missing(generator, scale, place, folder)):
                    drawn += [samples] * returned
                    rows += [SheetRow(label, samples)] * (i < SHOWN // spec.batch_size)
                folder.check()
                save_png(out / GRID, sheet(rows, opened.palette))
    say(f"Wrote {n * len(scales)} samples and their contact sheet {out / GRID}")
    return drawn


def draw_missing(generator: Generator, scale: float, place: SampleFolder, folder: RunDirectory) -> Iterator[Samples]:
    """The samples of one scale, batch by batch: read where they are there, else generated and written."""
    ids, groups = sample_ids(generator.n), generator.prompts.groups if generator.model.conditional else None
    for start in range(0, generator.n, generator.batch_size):
        part = range(start, min(start + generator.batch_size, generator.n))
        names = ids[part.start : part.stop]
        if place.holds(names, generator.model):
            with suppress(OSError, ValueError):  # a damaged image: all of its batch is drawn again
                yield place.read(names, groups and groups[part.start : part.stop])
                generator.progress(len(part))
                continue
        for samples in generator.batches(scale, part):
            folder.check()
            place.add(samples)
            yield samples
