"""folder: finished images, in the forms that the official repositories write them, as if a model had drawn them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from PIL import Image
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gcbench.baselines.folder.formats import FORMATS, recognise
from gcbench.core.contracts import Dataset, Model, ModelOptions, Size
from gcbench.core.errors import UserError
from gcbench.core.samples import Samples
from gcbench.core.settings import apply
from gcbench.data.finished_images import FinishedImages, pair_up
from gcbench.data.image_files import RESIZE
from gcbench.data.image_sources import Facts, Source, open_source
from gcbench.data.layouts import LabelIds, has_label_ids, layout_ids

UserPath = Annotated[Path, AfterValidator(Path.expanduser)]


class SourceConfig(BaseModel):
    """What `--set sampler.KEY=VALUE` says of the images.

    format: a name of `FORMATS`, where the tree does not tell. layouts: a folder, zip or npz of layouts, in place of the
    format's own. prompts: a file of texts, as
    `evaluate --prompts` takes it. derived_by: the segmenter that made the layouts.
    layout_source: whether the system drew its layouts (`generated`) or was given them (`given`).
    psi: the truncation that the images were drawn with. ratio: height over width of the band in the middle of each
    image that is no letterbox.
    """

    model_config = ConfigDict(extra="forbid")

    format: str | None = None
    layouts: UserPath | None = None
    prompts: UserPath | None = None
    derived_by: str | None = Field(default=None, min_length=1)
    layout_source: Literal["generated", "given"] | None = None
    psi: float | None = Field(default=None, allow_inf_nan=False)
    ratio: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class Folder(Model):
    """Finished images of the official repositories: seed i takes image i, in the order of their numbers.

    It reads no prompt: images are what they are, so a record has one point. The prompts of its samples are the texts
    that they were made from, where those are known.
    """

    conditional = False
    guided = False

    def __init__(self, finished: FinishedImages, form: str, dataset: Dataset, source: str | None, cfg: SourceConfig):
        self.finished, self.form, self.dataset, self.source, self.cfg = finished, form, dataset, source, cfg
        self.layouts = finished.layouts is not None
        self.layouts_given = source == "given"
        self.survey = finished.survey()
        self.label_ids = _holds_label_ids(finished, dataset)

    @classmethod
    def open(cls, dataset: Dataset, options: ModelOptions) -> "Folder":
        """The images at `options.checkpoint`.
        UserError: no images there, a form that does not tell itself, a pickle, damaged or unpaired files, ..."""
        [cfg] = apply({"sampler": SourceConfig()}, options.settings)
        if options.checkpoint is None:
            raise UserError("model folder lacks its images; give their folder, .zip or .npz as --checkpoint PATH")
        place = Path(options.checkpoint)
        form = recognise(place, cfg.format)
        if form == "ganformer" and cfg.psi is None:
            raise UserError(
                f"{place} does not say with which truncation its images were drawn; add --set sampler.psi=0.7, which"
                " is generate.py's default, or the value that was used"
            )
        finished, source = _read(place, form, dataset, cfg)
        return cls(finished, form, dataset, source, cfg)

    def generate(
        self, prompts: Sequence[str] | None, *, n: int, size: Size, guidance: float, seeds: Sequence[int]
    ) -> Samples:
        count = len(self.finished)
        if max(seeds) >= count:
            raise UserError(
                f"{self.finished.images.path} holds {count} images, for the seeds 0 to {count - 1}, and seed"
                f" {max(seeds)} is asked for; give -n {count} or fewer, with --seed 0"
            )
        pairs = [self.finished.read(seed, self.dataset, size, self.label_ids) for seed in seeds]
        drawn = [layout for _, layout in pairs if layout is not None]
        texts = self.finished.prompts
        return Samples(
            torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2).contiguous(),
            torch.from_numpy(np.stack(drawn)).long() if drawn else None,
            self.source,
            None if texts is None else tuple(texts[seed][0] for seed in seeds),
            tuple(self.finished.ids[seed] for seed in seeds),
        )

    def describe(self) -> Mapping[str, str | int | None]:
        sizes = ", ".join(f"{count} of {h}×{w}" for (h, w), count in self.survey.sizes.most_common())
        facts = [
            f"finished images in the form {self.form}: {sizes}, resized to the protocol's size ({RESIZE})",
            f"{self.survey.jpeg} in JPEG" if self.survey.jpeg else "",
            f"layouts {self.source}" if self.source else "",
            "labelIds mapped to train ids" if self.label_ids else "",
            *self.survey.notes(),
            *self.finished.text_notes(),
            f"files {self.survey.hash}",
        ]
        return {"note": "; ".join(filter(None, facts))}

    def sampler(self) -> Mapping[str, float | str]:
        return {key: value for key in ("psi", "ratio") if (value := getattr(self.cfg, key)) is not None}


def _read(place: Path, form: str, dataset: Dataset, cfg: SourceConfig) -> tuple[FinishedImages, str | None]:
    """The images with all that belongs to them, and where their layouts are from."""
    images, layouts, texts = FORMATS[form].read(place, dataset)
    draws = FORMATS[form].draws
    if cfg.layouts is not None:
        layouts = open_source(cfg.layouts, "layout")
    if layouts is None and (cfg.derived_by or cfg.layout_source):
        raise UserError(f"{place} has no layouts to say the source of; name their folder with sampler.layouts")
    if cfg.derived_by and cfg.layout_source:
        raise UserError("sampler.derived_by and sampler.layout_source contradict each other; leave one out")
    if layouts is not None and draws is None and not (cfg.derived_by or cfg.layout_source):
        raise UserError(
            f"{form} draws no layouts, so those in {layouts.path} are a segmenter's; name it with sampler.derived_by"
        )
    if cfg.ratio is not None:
        images = CentralBand(images, cfg.ratio)
        layouts = None if layouts is None else CentralBand(layouts, cfg.ratio)
    manifest = place / "prompts.jsonl"
    prompts = cfg.prompts or (manifest if manifest.is_file() else None)
    finished = pair_up(images, layouts, prompts)
    if prompts is None and texts is not None:
        finished = replace(finished, prompts=tuple((text,) for text in texts), groups=texts)
    if layouts is None:
        return finished, None
    if cfg.derived_by:
        return finished, f"derived:{cfg.derived_by}"
    return finished, cfg.layout_source or ("generated" if draws else "given")


def _holds_label_ids(finished: FinishedImages, dataset: Dataset) -> bool:
    """Whether any layout shows that all hold Cityscapes' labelIds. UserError for one that does not fit the dataset."""
    if finished.layouts is None or finished.named_label_ids:
        return finished.named_label_ids and has_label_ids(dataset)
    for name in finished.layout_names:
        try:
            layout_ids(finished.layouts.image(name), finished.layouts.place(name), dataset)
        except LabelIds:
            return True
    return False


class CentralBand(Source):
    """The middle of each image, `ratio` times as high as wide, as GANformer's `--ratio` cuts it out of a square.

    Images of that shape already stay whole.
    """

    def __init__(self, inner: Source, ratio: float):
        self.inner, self.ratio = inner, ratio
        self.path, self.kind, self.ids, self.left_out = inner.path, inner.kind, inner.ids, inner.left_out

    def place(self, name: str) -> Path:
        return self.inner.place(name)

    def look(self, name: str) -> Facts:
        facts = self.inner.look(name)
        _, _, height, width = self._box(facts.size)
        return facts._replace(size=(height, width))

    def image(self, name: str) -> Image.Image:
        image = self.inner.image(name)
        top, left, height, width = self._box((image.height, image.width))
        return image.crop((left, top, left + width, top + height))

    def _box(self, size: Size) -> tuple[int, int, int, int]:
        """(top, left, height, width) of the largest band."""
        width = min(size[1], round(size[0] / self.ratio))
        height = min(size[0], round(width * self.ratio))
        return (size[0] - height) // 2, (size[1] - width) // 2, height, width
