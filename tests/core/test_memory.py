"""The peak memory is the kernel's own."""

from pathlib import Path

import pytest

from gcbench.core.memory import peak_memory

STATUS = Path("/proc/self/status")


@pytest.mark.skipif(not STATUS.exists(), reason="this system has no /proc")
def test_it_is_the_high_water_mark_in_bytes() -> None:
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM")]
    assert peak_memory() == pytest.approx(1024 * int(line.split()[1]), rel=0.05)
