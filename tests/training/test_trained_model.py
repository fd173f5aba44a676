"""What every trained model has from the skeleton: settings, the protocol's words, progress, recipes; the docs' code."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import SIZE

from gcbench.core import checkpoint
from gcbench.core.contracts import Evaluator, Model, ModelOptions
from gcbench.core.errors import UserError
from gcbench.core.registry import registry
from gcbench.core.samples import to_bytes
from gcbench.data.open_dataset import open_dataset
from gcbench.gcdp.model import GCDP
from gcbench.training.fixed_batches import in_fixed_batches
from gcbench.training.trained_model import TrainedModel

DOC = Path(__file__).parents[2] / "docs/adding-a-model.md"


def opened(toyland: Path, gcdp: Path, **settings: object) -> GCDP:
    return GCDP.open(open_dataset(str(toyland)), ModelOptions(checkpoint=gcdp, settings=settings))


def test_settings_of_a_run_are_the_protocols(toyland: Path, gcdp: Path) -> None:
    plain = {"steps": 2, "image_sampler": "ancestral", "last_label": "argmax", "posterior": "soft", "threshold": 0.95}
    assert opened(toyland, gcdp).sampler() == {**plain, "precision": "fp32"}
    chosen = opened(toyland, gcdp, **{"sampler.image_sampler": "ddim", "sampler.threshold": 1})
    assert chosen.sampler() == {**plain, "image_sampler": "ddim", "threshold": 1.0, "precision": "fp32"}
    assert chosen.process.cfg.image_sampler == "ddim"


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        (
            "process.image_sampler",
            "ddim",
            "'process.image_sampler'; it is called sampler.image_sampler here",
        ),
        ("model.process.posterior", "soft", "it is called sampler.posterior here"),
        (
            "sampler.treshold",
            0.9,
            "unknown setting 'sampler.treshold'; did you mean sampler.threshold or sampler.threshold_quantile?",
        ),
        (
            "model.unet.dim",
            8,
            "sampler.renoise; the rest was settled in training",
        ),
        (
            "sampler.image_sampler",
            "euler",
            "sampler.image_sampler='euler' is not valid: choose ancestral or ddim",
        ),
        ("sampler.threshold", 2, "setting sampler.threshold=2 is not valid: give at most 1"),
    ],
)
def test_what_a_run_may_not_choose(toyland: Path, gcdp: Path, key: str, value: object, sentence: str) -> None:
    with pytest.raises(UserError) as refused:
        opened(toyland, gcdp, **{key: value})
    assert sentence in str(refused.value)


def test_a_card_of_an_earlier_version_says_block(toyland: Path, gcdp: Path) -> None:
    card = checkpoint.read_card(gcdp)
    assert card.config["sample_batch"] == 4
    old = {("block" if key == "sample_batch" else key): value for key, value in card.config.items()}
    assert GCDP.config.model_validate(old) == opened(toyland, gcdp).cfg


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_samples_that_are_not_finite_end_the_run(toyland: Path, gcdp: Path, bad: float) -> None:
    model = opened(toyland, gcdp)
    for tensor in model.network.unet.parameters():
        torch.nn.init.constant_(tensor, bad)
    with pytest.raises(UserError, match=r"^gcdp: what the network drew is not finite at guidance 2; lower --guidance"):
        model.generate(["a car"], n=1, size=SIZE, guidance=2.0, seeds=[0])


def test_floats_become_bytes_in_one_place() -> None:
    """It refuses what is not finite; within [-1,1] it rounds to the nearest of 256 levels, beyond it clamps."""
    levels = torch.arange(256)
    assert torch.equal(to_bytes(levels / 127.5 - 1), levels.to(torch.uint8))
    assert to_bytes(torch.tensor([-7.0, 1.001, 0.0])).tolist() == [0, 255, 128]
    for bad in (torch.nan, torch.inf, -torch.inf):
        with pytest.raises(FloatingPointError):
            to_bytes(torch.tensor([0.5, bad]))
    root = Path(checkpoint.__file__).parents[1]
    assert [path.name for path in root.rglob("*.py") if "127.5).round" in path.read_text()] == ["samples.py"]


def test_progress_counts_the_steps_of_all_batches(toyland: Path, gcdp: Path) -> None:
    model, told = opened(toyland, gcdp), []
    model.progress = told.append  # type: ignore[method-assign]
    model.generate(["a car"] * 5, n=5, size=SIZE, guidance=1.0, seeds=range(5))
    assert told == [0.25, 0.5, 0.75, 1.0]
    told.clear()
    in_fixed_batches(lambda seeds, _: (torch.tensor(seeds),), range(5), None, 2, told.append)
    assert told == [0.4, 0.8, 1.0]


def test_what_is_registered_says_whether_it_is_trained() -> None:
    assert Model.recipe is None
    assert Evaluator.recipe is None
    models = registry("models")
    trained = {name for name in models if models[name].recipe is not None}
    assert trained == {name for name in models if issubclass(models[name], TrainedModel)} - {"ldm-reconstruction"}


@pytest.fixture
def documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The Python blocks of the page, the first of them in flat.py."""
    blocks = re.findall(r"```python\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "flat.py").write_text(blocks[0], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield blocks
    sys.modules.pop("flat", None)


def test_the_page_on_models_runs(documented: list[str], tmp_path: Path, cli: object, toyland: Path) -> None:
    names: dict[str, object] = {}
    exec(documented[1], names)
    [test] = [value for name, value in names.items() if name.startswith("test_")]
    test()  # type: ignore[operator]
    drawn = cli("sample", "--model", f"{tmp_path}/flat.py:Flat", "--dataset", toyland, "-n", 3, "--out", tmp_path / "s")  # type: ignore[operator]
    assert drawn.code == 0, drawn.err
    assert len(list((tmp_path / "s" / "images").iterdir())) == 3
