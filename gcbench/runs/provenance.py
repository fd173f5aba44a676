"""Where and when something was measured or trained."""

import platform
import re
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from gcbench.core import __version__
from gcbench.core.names import plain
from gcbench.core.record import Provenance

PACKAGES = (
    *("torch", "torchvision", "numpy", "scipy", "timm", "accelerate", "safetensors", "pillow"),
    *("transformers", "diffusers", "peft"),
)


def provenance(device: str = "cpu") -> Provenance:
    """Versions, machine, git state and command of this process."""
    packages = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            packages[name] = version(name)
    commit, dirty = git_state(Path(__file__).resolve().parent)
    return Provenance(
        gcbench=__version__,
        packages=packages,
        python=platform.python_version(),
        git_commit=commit,
        git_dirty=dirty,
        device=machine(device),
        machine_kind=machine_kind(device),
        command=command(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def machine(device: str) -> str:
    """The device's name and, on a CPU, its instruction set and threads."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{device} {processor()} {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"


def machine_kind(device: str) -> str:
    """Where the same code repeats its samples up to rounding that changes few pixels: any CPU of one system and
    architecture, or any GPU of one name. Instruction set, threads and the version of torch are no part of it: what
    they change was measured (docs/regression.md), and a version of torch that changes more is to be noticed."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{device} {platform.system()} {platform.machine()}"


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def command() -> str:
    """The command line as typed; of absolute paths only the last part, the rest is a machine's own."""
    if Path(sys.argv[0]).name not in ("gcbench", "__main__.py"):
        return ""
    return plain(
        " ".join(["gcbench", *(re.sub(r"(^|[=@]|:(?!//))/\S*/", r"\1", argument) for argument in sys.argv[1:])])
    )


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """Commit and dirty flag of gcbench's own checkout; None and None outside one."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return None, None
