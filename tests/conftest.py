"""What the tests of commands share: a tiny dataset, model and evaluator of random weights, an evaluator without error.

`toyland` is 20 drawn images of 32×64 in which a pixel's colour is its class, so that an evaluator can be perfect.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"  # workers share the cores, and no sweep starts processes unasked

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image
from safetensors.torch import load_file, save_file

from gcbench.cli import app
from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, Evaluator
from gcbench.core.errors import NothingMeasured, UserError
from gcbench.core.files import file_hash
from gcbench.core.samples import Features, Samples
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluators.segmenter_training import SegmenterRecipe
from gcbench.evaluators.trained_segmenter import SegmenterConfig
from gcbench.gcdp.config import GCDPConfig
from gcbench.gcdp.training import GCDPRecipe
from gcbench.runs.suite_stages import Stage
from gcbench.training.recipe import TrainConfig

torch.set_num_threads(1)

settings.register_profile("gcbench", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("gcbench")

CLASSES = ("road", "car", "sky", "tree", "nothing")
PALETTE = ((128, 64, 128), (0, 0, 200), (90, 160, 220), (20, 140, 30), (110, 60, 110))
SIZE = (32, 64)
COUNTS = {"train": 6, "val": 14}

BLOCKS = '''
import os, time
import numpy as np, torch
from gcbench.core.contracts import Model
from gcbench.core.samples import Samples


def wait(ready):
    """So that no test depends on who is faster; the five minutes are for a fault, not for a busy machine."""
    until = time.monotonic() + 300
    while not ready():
        if time.monotonic() > until:
            raise TimeoutError("nobody came")
        time.sleep(0.01)


class Blocks(Model):
    """Blocks of classes by seed. With the variable TOGETHER, a folder, each of two processes draws nothing before both
    do; with GATE, a file, guidance 2 is not drawn before it is there."""

    conditional, guided, layouts = True, True, True

    def __init__(self, dataset):
        self.palette = torch.tensor(dataset.palette, dtype=torch.uint8)

    @classmethod
    def open(cls, dataset, options):
        return cls(dataset)

    def generate(self, prompts, *, n, size, guidance, seeds):
        time.sleep(n * float(os.environ.get("PACE", 0)))
        if folder := os.environ.get("TOGETHER"):
            open(os.path.join(folder, str(os.getpid())), "w").close()
            wait(lambda: len(os.listdir(folder)) >= 2)
        if guidance == 2 and (file := os.environ.get("GATE")):
            wait(lambda: os.path.exists(file))
        rngs = [np.random.default_rng([seed, int(guidance)]) for seed in seeds]
        small = [rng.integers(0, 4, (size[0] // 8, size[1] // 8)) for rng in rngs]
        ids = torch.from_numpy(np.stack(small).repeat(8, 1).repeat(8, 2))
        images = self.palette[ids].permute(0, 3, 1, 2).contiguous()
        return Samples(images, ids, "generated", None, tuple(map(str, seeds)))
'''

PAINTER = '''
"""A model that paints the classes its prompt names, each with a chance that rises with guidance."""

import numpy as np
import torch

from gcbench.core.contracts import Model
from gcbench.text.class_mentions import named_classes
from gcbench.core.samples import Samples


class Painter(Model):
    conditional, guided, layouts = True, True, True

    def __init__(self, dataset, options):
        self.dataset, self.options = dataset, options

    @classmethod
    def open(cls, dataset, options):
        return cls(dataset, options)

    def generate(self, prompts, *, n, size, guidance, seeds):
        layouts = []
        for i, seed in enumerate(seeds):
            rng = np.random.default_rng(seed)
            names = named_classes(prompts[i], self.dataset.aliases) if prompts else set(self.dataset.aliases)
            layout = np.zeros(size, np.int64)
            for k, name in enumerate(self.dataset.classes):
                top, left, chance = rng.integers(size[0] - 8), rng.integers(size[1] - 8), rng.random()
                if name in names and chance < guidance / 4:
                    layout[top : top + 8, left : left + 8] = k
            layouts.append(layout)
        ids = torch.from_numpy(np.stack(layouts))
        images = torch.tensor(self.dataset.palette, dtype=torch.uint8)[ids].permute(0, 3, 1, 2).contiguous()
        return Samples(images, ids, "generated", None, tuple(str(seed) for seed in seeds))


class Plain(Painter):
    """Reads no text and knows no guidance."""

    conditional, guided = False, False


class TooFew(Painter):
    def generate(self, prompts, *, n, size, guidance, seeds):
        return super().generate(prompts, n=n, size=size, guidance=guidance, seeds=seeds).take(range(n - 1))


class WrongSize(Painter):
    def generate(self, prompts, *, n, size, guidance, seeds):
        return super().generate(prompts, n=n, size=(size[0], 16), guidance=guidance, seeds=seeds)


class WrongIds(Painter):
    def generate(self, prompts, *, n, size, guidance, seeds):
        made = super().generate(prompts, n=n, size=size, guidance=guidance, seeds=seeds)
        return Samples(made.images, made.layouts + 9, "generated", None, made.ids)


class Forgetful(Painter):
    def generate(self, prompts, *, n, size, guidance, seeds):
        return None


class Fickle(Painter):
    """Layouts come with the first batch only."""

    def generate(self, prompts, *, n, size, guidance, seeds):
        made = super().generate(prompts, n=n, size=size, guidance=guidance, seeds=seeds)
        return made if 0 in seeds else Samples(made.images, None, None, None, made.ids)


class Silent(Painter):
    guided = None


class Boastful(Painter):
    def describe(self):
        return {"speed": "great"}


class Stranger:
    pass
'''


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The last line of standard error."""
        return self.err.strip().splitlines()[-1] if self.err.strip() else ""


Cli = Callable[..., Result]


def card_beside(path: Path) -> Path:
    """The checkpoint as earlier versions wrote it: its card is in the JSON file alone, which tests can edit."""
    card = checkpoint.read_card(path)
    save_file(load_file(path), path)
    beside = path.with_suffix(".json")
    beside.write_text(card.model_copy(update={"sha256": file_hash(path)}).model_dump_json(indent=1))
    return beside


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Features of real images are kept in the test's own folder."""
    monkeypatch.setenv("GCBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Call the command line in this process, in an empty working directory without any data or weights."""
    from gcbench.cli import main

    (tmp_path / "cwd").mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / "cwd")
    for variable in ("GCBENCH_DATA", "GCBENCH_WEIGHTS"):
        monkeypatch.delenv(variable, raising=False)

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["gcbench", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run


@pytest.fixture
def without_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the drawing out where a test is not about it: it is most of a tiny run's time."""
    monkeypatch.setattr("gcbench.reports.curve.draw", lambda record, folder, axes=None: None)


def write_toyland(root: Path, counts: dict[str, int] = COUNTS) -> Path:
    rng = np.random.default_rng(0)
    palette = np.array(PALETTE, np.uint8)
    for split, count in counts.items():
        lines = []
        for part in ("images", "layouts"):
            (root / split / part).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            layout = np.zeros(SIZE, np.uint8)
            chosen = rng.permutation([1, 2, 3])[: rng.integers(1, 4)]
            for k in chosen:
                top, left = rng.integers(SIZE[0] - 8), rng.integers(SIZE[1] - 8)
                layout[top : top + rng.integers(4, 9), left : left + rng.integers(4, 9)] = k
            layout[-1, :3] = 4
            names = [CLASSES[k] for k in np.unique(layout) if CLASSES[k] != "nothing"]
            Image.fromarray(palette[layout]).save(root / split / "images" / f"{split}{i:02d}.png")
            Image.fromarray(layout).save(root / split / "layouts" / f"{split}{i:02d}.png")
            lines.append({"file_name": f"{split}{i:02d}.png", "text": [f"an image with {' and '.join(names)}"]})
        (root / split / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (root / "dataset.toml").write_text(
        f'name = "toyland"\nclasses = {json.dumps(CLASSES)}\npalette = {json.dumps(PALETTE)}\nvoid = "nothing"\n'
        f"splits = {json.dumps(list(counts))}\nsize = {list(SIZE)}\n"
    )
    return root


@pytest.fixture(scope="session")
def toyland(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toyland(tmp_path_factory.mktemp("data") / "toyland")


@pytest.fixture
def images(toyland: Path, tmp_path: Path) -> Path:
    """Five finished images with layouts and prompts, `val00` to `val04`, that no reference holds; to be damaged."""
    root = tmp_path / "mine"
    for part in ("images", "layouts"):
        (root / part).mkdir(parents=True)
        for i in range(5):
            shutil.copy(toyland / "train" / part / f"train{i:02d}.png", root / part / f"val{i:02d}.png")
    lines = (toyland / "train/prompts.jsonl").read_text().splitlines()[:5]
    (root / "prompts.jsonl").write_text("".join(line.replace("train", "val") + "\n" for line in lines))
    return root


@pytest.fixture(scope="session")
def painter(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of small models; `f"{painter}:Painter"` names one."""
    path = tmp_path_factory.mktemp("models") / "painter.py"
    path.write_text(PAINTER)
    return str(path)


def write_gcdp(
    path: Path,
    dataset: Dataset,
    *,
    text: bool = True,
    size: tuple[int, int] = SIZE,
    lowres: bool = False,
    kind: tuple[str, type[GCDPRecipe]] = ("gcdp", GCDPRecipe),
) -> Path:
    """A GCDP of random weights, zero heads made loud so that its images differ. kind: its name and its recipe."""
    unet = {
        "dim": 8,
        "mults": (1, 2),
        "blocks": (1, 1),
        "self_attention": (False, False),
        "cross_attention": (False, True),
        "text_length": 12,
        "latents": 3,
        "pooled": 1,
        "heads": 2,
        "dim_head": 4,
        "groups": 4,
        "sinusoids": 4,
        "init_kernels": (3,),
        "patch": 2,
        "lowres": lowres,
    }
    cfg = GCDPConfig.model_validate(
        {
            "unet": unet,
            "process": {"steps": 20},
            "text": {"dim": 6} if text else None,
            "size": size,
            "sample_steps": 2,
            "sample_batch": 4,
        }
    )
    name, recipe_class = kind
    recipe = recipe_class(name, cfg, dataset, TrainConfig())
    with torch.no_grad():
        for part, parameter in recipe.network.named_parameters():
            if "final_conv" in part:
                parameter.normal_(std=0.4)
    checkpoint.save(path, recipe.weights(), recipe.card({"steps": 0}))
    return path


@pytest.fixture(scope="session")
def gcdp(toyland: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gcdp(tmp_path_factory.mktemp("gcdp") / "model.safetensors", open_dataset(str(toyland)))


@pytest.fixture(scope="session")
def evaluator(toyland: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """`segmenter=…` for --evaluator: an HRNet of random weights with the batch statistics of random images."""
    recipe = SegmenterRecipe(SegmenterConfig(scale=1.0, size=SIZE), open_dataset(str(toyland)), TrainConfig())
    with torch.no_grad():
        recipe.network.train()
        for module in recipe.network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
                module.weight.fill_(1.0)
        recipe.network(torch.rand(2, 3, *SIZE))
    path = tmp_path_factory.mktemp("evaluator") / "model.safetensors"
    checkpoint.save(path, recipe.weights(), recipe.card({"steps": 0}))
    return f"segmenter=hrnet_w18_small@{path}"


class Oracle(Evaluator):
    """Reads each pixel's class off its colour; void is none of its answers."""

    role = "segmenter"
    id = "oracle"

    def __init__(self, dataset: Dataset):
        self.palette = torch.tensor(dataset.palette).float()
        self.void = dataset.void

    @classmethod
    def open(cls, dataset: Dataset, *, spec: str | None = None, device: str = "cpu") -> "Oracle":
        return cls(dataset)

    def __call__(self, images: torch.Tensor) -> Features:
        pixels = images.permute(0, 2, 3, 1).float()  # [B,H,W,3]
        distance = (pixels[..., None, :] - self.palette).abs().sum(-1)  # [B,H,W,K]
        if self.void is not None:
            distance[..., self.void] = torch.inf
        labels = distance.argmin(-1)
        vectors = torch.nn.functional.one_hot(labels, len(self.palette)).float().mean(dim=(1, 2))
        return Features(vectors=vectors, labels=labels)


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every command be evaluated by the oracle."""
    from gcbench.evaluation.scoring import EvaluatorSet

    def open_evaluators(
        dataset: Dataset, metrics: Sequence[str], specs: Sequence[str], device: str, derives: bool = False
    ) -> EvaluatorSet:
        return EvaluatorSet({"segmenter": Oracle(dataset)}, {})

    for module in ("evaluation.setup", "commands.evaluate", "commands.regress"):
        monkeypatch.setattr(f"gcbench.{module}.open_evaluators", open_evaluators)


def pooled_features(
    vectors: np.ndarray, name: str, groups: tuple[str, ...] | None = None
) -> tuple[Samples, dict[str, Features]]:
    """Blank images `name0000`, ... of which Inception says `vectors` [n,d]."""
    n = len(vectors)
    ids = tuple(f"{name}{i:04}" for i in range(n))
    samples = Samples(torch.zeros(n, 3, 1, 1, dtype=torch.uint8), None, None, None, ids, groups)
    return samples, {"inception": Features(vectors=torch.from_numpy(vectors.astype(np.float32, copy=False)))}


def content(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what may differ between two runs: provenance and times."""
    kept = {key: value for key, value in record.items() if key != "provenance"}
    kept["points"] = [{k: v for k, v in point.items() if k != "seconds"} for point in record["points"]]
    return kept


def assert_same_images(one: torch.Tensor, other: torch.Tensor) -> None:
    """Equal to a grey level: a network's sums may run in another order at another place of a block."""
    assert one.shape == other.shape
    assert (one.int() - other.int()).abs().max() <= 1


def assert_same_layouts(one: torch.Tensor, other: torch.Tensor) -> None:
    """Equal but for a pixel in a thousand, where two classes were a rounding apart."""
    assert one.shape == other.shape
    assert (one == other).float().mean() > 0.999


def tiny_t5(folder: Path, width: int = 16) -> Path:
    """A T5 of two layers and a word tokenizer, in `folder`, as transformers saves them."""
    reason = "transformers is not installed"
    transformers = pytest.importorskip("transformers", reason=reason)
    tokenizers = pytest.importorskip("tokenizers", reason=reason)
    vocabulary = {"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "car": 4, "bus": 5, "and": 6, "road": 7}
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    core.post_processor = tokenizers.processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=8, d_model=width, d_kv=4, d_ff=32, num_layers=2, num_heads=4, dropout_rate=0.5
    )
    transformers.T5EncoderModel(config).save_pretrained(folder)
    return folder


def run_here(stage: Stage, *rest: Any) -> str | None:
    """A suite's stage in place of a process of its own, so that tests can reach into it."""
    try:
        app(list(stage.command), standalone_mode=False)
    except (UserError, NothingMeasured) as error:
        return str(error)
    return None
