"""docs/diffusers.md: its commands run in order on random pipelines, with fewer images and steps; its Python too."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from conftest import Cli, write_toyland

pytest.importorskip("diffusers", reason="the extra diffusers is not installed")
from tiny_pipelines import random_pipeline, saved, unet

from gcbench.baselines.diffusers.opening import PipelineConfig
from gcbench.core.record import Record

PAGE = (Path(__file__).parents[2] / "docs" / "diffusers.md").read_text(encoding="utf-8")


@pytest.fixture
def place(cli: Cli, tmp_path: Path, evaluator: str) -> Path:
    """What the page speaks of, in the working directory: ./mine, ./sd-base, ./sd-mine, ./lora, ./controlnet."""
    from diffusers import ControlNetModel, StableDiffusionPipeline
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    root = tmp_path / "cwd"
    write_toyland(root / "mine")
    saved(root / "sd-base", seed=0)
    saved(root / "sd-mine", seed=1)
    net = random_pipeline().unet
    net.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["to_k", "to_q"]))
    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(net))
    StableDiffusionPipeline.save_lora_weights(root / "lora", unet_lora_layers=layers)
    ControlNetModel.from_unet(unet(16), conditioning_embedding_out_channels=(8, 8, 8)).save_pretrained(
        root / "controlnet"
    )
    weights = Path(evaluator.partition("@")[2])
    shutil.copy(weights, root / "segmenter.safetensors")
    return root


def shorter(command: str) -> list[str]:
    return shlex.split(re.sub(r"--steps \d+", "--steps 1", re.sub(r"-n \d+", "-n 6", command)))


@pytest.mark.usefixtures("oracle", "without_curve", "place")
def test_the_commands_run(cli: Cli) -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    commands = [line.removeprefix("gcbench ") for block in blocks for line in block.splitlines()]
    assert len(commands) == 8
    out = {}
    for command in commands:
        done = cli(*shorter(command))
        assert done.code == 0, f"{command}: {done.err}"
        out[command] = done.out
    base, mine = (Record.read(Path("runs") / name) for name in ("base", "mine"))
    assert [point.guidance for point in base.points] == [1, 3, 5, 7.5]
    assert base.model.weights != mine.model.weights
    assert base.protocol.prompts == mine.protocol.prompts
    table = out["compare runs/mine runs/base"]
    assert re.search(r"A − B\s+p\b", table)
    assert "Each p-value is for its own row; none is corrected for their number." in " ".join(table.split())
    done = cli("compare", "runs/mine", "runs/base", "--json")
    rows = [row for row in json.loads(done.out)["rows"] if row["metric"] == "semantic-recall" and not row["column"]]
    assert [0 < row["p_value"] <= 1 for row in rows] == [True] * 4
    assert (Path("mine-diffusers/train/metadata.jsonl")).is_file()
    assert "layouts" in str(Record.read(Path("runs/control")).protocol.given)


@pytest.mark.usefixtures("place")
def test_the_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    [code] = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    exec(code, {})
    assert re.search(r"\d\.\d\d", capsys.readouterr().out)


def test_every_setting_is_documented() -> None:
    table = PAGE[PAGE.index("| `--set` |") : PAGE.index("`--steps` is the number")]
    text = PAGE[PAGE.index("| `--set` |") :]
    assert set(re.findall(r"`(\w+)=", table)) <= PipelineConfig.model_fields.keys()
    for key in PipelineConfig.model_fields:
        assert re.search(rf"`{key}\b", text), key
