"""The peak memory is the kernel's own, and what is freed is used again."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from gcbench.core.memory import peak_memory

STATUS = Path("/proc/self/status")
FAULTS = """
import resource, sys
import numpy as np
from gcbench.core.memory import MAPPED_ALONE, keep_freed_memory

def faults(size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        np.ones(size, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep_freed_memory()
faults(2**27)
print(faults(2**27), faults(MAPPED_ALONE))
"""


@pytest.mark.skipif(not STATUS.exists(), reason="this system has no /proc")
def test_it_is_the_high_water_mark_in_bytes() -> None:
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM")]
    assert peak_memory() == pytest.approx(1024 * int(line.split()[1]), rel=0.05)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")
def test_freed_blocks_are_used_again_and_the_largest_are_given_back() -> None:
    """128 MiB are 32 768 pages, none of which the system has to clear again; 256 MiB are mapped anew each time."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    again, anew = map(int, done.stdout.split())
    assert again < 1000
    assert anew > 100  # few where the kernel gives pages of 2 MiB
