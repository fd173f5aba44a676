"""`gcbench sample`: images and layouts from given texts, as a folder that `gcbench evaluate` reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gcbench.core.errors import UserError
from gcbench.core.reference import Prompts, Reference
from gcbench.core.run_spec import RunSpec, guidance_text
from gcbench.core.samples import Samples
from gcbench.data.contact_sheet import save_png
from gcbench.data.image_sources import visible
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.generation import Generator
from gcbench.evaluation.setup import choose_device, evaluation_split, open_model, size_of
from gcbench.reports.sample_grid import SheetRow, sheet
from gcbench.runs.progress import Bar, say
from gcbench.runs.run_directory import GRID, RunDirectory
from gcbench.runs.sample_folder import write_samples

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
    **options: Any,
) -> list[Samples]:
    """Draw n samples a guidance scale: of `prompts` in turn, or of the evaluation split's captions; write them.

    options: further fields of `RunSpec`, named as the options of `gcbench sample`. One scale is written into `out`
    itself, several into `out`/guidance-SCALE; `out`/grid.png shows all.

    Raises:
        UserError: an empty prompt, or what opening the model and the dataset refuses.
    """
    spec = RunSpec.of(model=model, dataset=dataset, n=n, guidance=guidance, batch_size=8, **options)
    for i, text in enumerate(prompts, 1):
        if not text.strip():
            raise UserError(f"prompt {i} is empty; give a text or leave it out")
    device = choose_device(spec.device)
    out = Path(out)
    scales = spec.guidance or (1.0,)
    folders = [out if len(scales) == 1 else out / f"guidance-{guidance_text(scale)}" for scale in scales]
    for folder in folders:
        if visible(folder / "images"):
            raise UserError(f"{folder} already holds images; choose another --out")
    with RunDirectory(out):
        opened = open_dataset(spec.dataset)
        drawing = open_model(spec, opened, device)
        if prompts and not drawing.conditional:
            raise UserError(f"model {model} reads no prompts; leave --prompt out")
        reference = Reference(opened, evaluation_split(opened, spec.split), size_of(spec, opened, drawing))
        texts = tuple(prompts[i % len(prompts)] for i in range(n)) if prompts else ()
        chosen = Prompts(list(range(n)), texts, texts) if prompts else reference.prompts(n)
        drawn: list[Samples] = []
        rows: list[SheetRow] = []
        with Bar("sampling", n * len(scales)) as bar:
            generator = Generator(model, drawing, reference, chosen, spec.seed, spec.batch_size, bar.advance)
            for scale, folder in zip(scales, folders, strict=True):
                batches: list[Samples] = []
                for samples in generator.batches(scale):
                    batches.append(samples)
                    write_samples(folder, batches)
                drawn += batches
                label = "" if len(scales) == 1 else f"guidance {guidance_text(scale)}"
                rows += [SheetRow(label, samples) for samples in batches[: SHOWN // spec.batch_size]]
                save_png(out / GRID, sheet(rows, opened.palette))
    say(f"Wrote {n * len(scales)} samples and their contact sheet {out / GRID}")
    return drawn
