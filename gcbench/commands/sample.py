"""`gcbench sample`: images and layouts from given texts, as a folder that `gcbench evaluate` reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gcbench.core.contracts import ModelOptions, Size
from gcbench.core.errors import UserError
from gcbench.core.files import write_text
from gcbench.core.samples import Samples
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluation.arguments import (
    check_device,
    check_precision,
    evaluation_split,
    guidance_scales,
    open_model,
    parse_size,
)
from gcbench.evaluation.generation import check_prompts, check_samples, choose_prompts, sample_ids
from gcbench.runs.progress import Bar, say
from gcbench.runs.sample_folder import write_samples


def sample(
    out: Path,
    model: str = "gcdp",
    dataset: str = "streets",
    *,
    prompts: Sequence[str] = (),
    n: int = 8,
    guidance: float = 3.0,
    seed: int = 0,
    steps: int | None = None,
    settings: Mapping[str, Any] | None = None,
    size: str | Size | None = None,
    checkpoint: Path | None = None,
    precision: str = "fp32",
    device: str = "auto",
) -> list[Samples]:
    """Draw n samples: of `prompts` in turn, or of the evaluation split's captions; write them into `out`.

    Raises:
        UserError: an empty prompt, n < 1, or what opening the model and the dataset refuses.
    """
    if n < 1:
        raise UserError(f"-n {n}: at least 1 image")
    [scale] = guidance_scales([guidance])
    check_prompts(prompts)
    check_precision(precision)
    device = check_device(device)
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; choose a directory")
    if (out / "images").is_dir() and any((out / "images").iterdir()):
        raise UserError(f"{out} already holds images; choose another --out")
    opened = open_dataset(dataset)
    generator = open_model(model, opened, ModelOptions(checkpoint, device, precision, steps, settings or {}))  # type: ignore[arg-type]
    target = parse_size(size) or generator.size or opened.size
    if prompts and not generator.conditional:
        raise UserError(f"model {model} reads no prompts; leave --prompt out")
    if prompts:
        texts = groups = tuple(prompts[i % len(prompts)] for i in range(n))
    else:
        _, texts, groups = choose_prompts(opened, evaluation_split(opened, None), n)
    made: list[Samples] = []
    write_text(out / ".probe", "")  # a place that cannot be written is known before the long work
    (out / ".probe").unlink()
    with Bar("sampling", n) as bar:
        for start in range(0, n, 8):
            stop = min(start + 8, n)
            part = generator.generate(
                texts[start:stop] if generator.conditional else None,
                n=stop - start,
                size=target,
                guidance=scale,
                seeds=range(seed + start, seed + stop),
            )
            check_samples(part, stop - start, target, len(opened.classes), generator)
            read = texts[start:stop] if generator.conditional else part.prompts
            depends = groups[start:stop] if generator.conditional else None
            ids = tuple(sample_ids(n)[start:stop])
            made.append(Samples(part.images, part.layouts, part.layout_source, read, ids, depends))
            write_samples(out, made, opened)
            bar.advance(stop - start)
    say(f"Wrote {n} samples and their contact sheet {out / 'grid.png'}")
    return made
