"""Inception features and distances between sets of features, beside the ways they are usually computed.

    python -m studies.speed_against_peers

One thread for all contestants, and processor seconds, so that other work on the machine moves no ratio. The features
are made up: non-negative with a decaying spectrum, as Inception's are. Memory is that of a process of its own.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from gcbench.commands.speed import Timed, print_rows, seconds
from gcbench.core.contracts import Metric, Task
from gcbench.core.errors import UserError
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluators.inception_v3 import inception_v3
from gcbench.metrics.fid import FID
from gcbench.metrics.kid import KID
from gcbench.metrics.prdc import PRDC
from gcbench.statistics.frechet import frechet_distance

DIM = 2048
BATCH = 16
TASK = Task((), None, {})


def distances() -> list[Timed]:
    """Every row of this file."""
    with one_thread():
        rows = [*frechet_distances(500, with_sqrtm=True), *frechet_distances(5000), *three_metrics(500)]
    return [*rows, memory()]


def random_weights(seed: int = 0) -> dict[str, Tensor]:
    """A state dict in the official format whose features differ from image to image, unlike PyTorch's default.

    With default weights each layer shrinks its input, so that all features of all images are 0 to within 1e-6.
    """
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(seed)
        network = inception_v3()
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.normal_(module.bias, std=0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
                nn.init.uniform_(module.weight, 0.5, 1.5)
        return network.state_dict()


def inception_features(n: int = 16, size: tuple[int, int] = (256, 512)) -> Timed:
    """Images a second from uint8 to features, on random weights, both in float32."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    from gcbench.evaluators.inception import Inception

    images = torch.randint(256, (n, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "inception.pth"
        torch.save(random_weights(), file)
        ours = Inception.open(open_dataset("streets"), spec=f"tf1@{file}")
        usual = FeatureExtractorInceptionV3("usual", ["2048"], feature_extractor_weights_path=str(file))
    with torch.no_grad():
        took, against = side_by_side(lambda: ours(images), lambda: usual(images))
    name = f"Inception features, {size[0]}×{size[1]}, tf1, float32"
    return Timed(name, n / took, "images a second", "torch-fidelity", against / took)


@contextmanager
def one_thread() -> Iterator[None]:
    """For torch, and for numpy and scipy where threadpoolctl is there; else set OMP_NUM_THREADS=1 before the start."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        threadpool_limits = nullcontext
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def side_by_side(ours: Callable[[], object], usual: Callable[[], object], repeats: int = 3) -> tuple[float, float]:
    """The medians of both, run in turns, so that what else the machine does falls on both."""
    turns = [(seconds(ours, 1), seconds(usual, 1)) for _ in range(repeats)]
    return median(turn[0] for turn in turns), median(turn[1] for turn in turns)


def processor_seconds(act: Callable[[], object], repeats: int = 1) -> float:
    """The least of some runs."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        act()
        times.append(time.process_time() - began)
    return min(times)


def features(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """float32 [n,DIM]."""
    rng = np.random.default_rng(seed)
    scale = np.arange(1, DIM + 1, dtype=np.float32) ** -0.5
    parts = [np.maximum(rng.standard_normal((min(1000, n - i), DIM), np.float32) + shift, 0) for i in range(0, n, 1000)]
    return np.concatenate(parts) * scale


def by_torch_fidelity(real: np.ndarray, made: np.ndarray) -> float:
    """From features to the number: moments by `np.cov`, eigenvalues of the product."""
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    moments = [fid_features_to_statistics(torch.from_numpy(one)) for one in (real, made)]
    return fid_statistics_to_metric(*moments, verbose=False)["frechet_inception_distance"]


def by_sqrtm(real: np.ndarray, made: np.ndarray) -> float:
    """The same with a matrix square root of the product."""
    from scipy.linalg import sqrtm

    s1, s2 = (np.cov(one, rowvar=False) for one in (real, made))
    apart = real.mean(0) - made.mean(0)
    return float(apart @ apart + np.trace(s1 + s2 - 2 * np.real(sqrtm(s1 @ s2))))


def frechet_distances(n: int, with_sqrtm: bool = False) -> list[Timed]:
    real, made = features(n, 0), features(n, 1, 0.1)
    took = processor_seconds(lambda: frechet_distance(real, made), 3)
    name = f"Fréchet distance, n = {n}, d = {DIM}, one thread"
    usual = processor_seconds(lambda: by_torch_fidelity(real, made))
    rows = [Timed(name, 1e3 * took, "ms", "torch-fidelity's way", usual / took)]
    if with_sqrtm:
        usual = processor_seconds(lambda: by_sqrtm(real, made))
        rows.append(Timed(name, 1e3 * took, "ms", "scipy's sqrtm", usual / took))
    return rows


def three_metrics(n: int) -> list[Timed]:
    """FID, KID and PRDC with their intervals from the same features, beside torch-fidelity's FID without any."""
    real, made = features(n, 0), features(n, 1, 0.1)

    def ours() -> None:
        metrics = [FID(TASK), KID(TASK), PRDC(TASK)]
        fill(metrics, "update_reference", [real])
        fill(metrics, "update", [made])
        for metric in metrics:
            metric.compute()

    took = processor_seconds(ours, 2)
    usual = processor_seconds(lambda: by_torch_fidelity(real, made))
    name = f"FID, KID and PRDC with intervals from features, n = {n}, one thread"
    return [Timed(name, took, "s", "torch-fidelity's FID alone", usual / took)]


def fill(metrics: Sequence[Metric], method: str, parts: Iterator[np.ndarray] | Sequence[np.ndarray]) -> None:
    """Give features to metrics, batch by batch as a run does."""
    names = count()
    for part in parts:
        for start in range(0, len(part), BATCH):
            vectors = torch.from_numpy(part[start : start + BATCH])
            ids = tuple(f"{next(names):06d}" for _ in vectors)
            samples = Samples(torch.zeros(len(ids), 3, 1, 1, dtype=torch.uint8), None, None, None, ids)
            for metric in metrics:
                getattr(metric, method)(samples, {"inception": Features(vectors=vectors)})


def large_fid(n: int) -> Score:
    """FID of n samples against as many real images, features made as they are wanted."""
    metric = FID(TASK)
    fill([metric], "update_reference", (features(min(1000, n - i), i) for i in range(0, n, 1000)))
    fill([metric], "update", (features(min(1000, n - i), n + i, 0.1) for i in range(0, n, 1000)))
    return metric.compute()


def peak_memory() -> float:
    """The most memory that this process has held, in GiB."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def memory(n: int = 50_000) -> Timed:
    code = f"from studies import speed_against_peers as t; t.large_fid({n}); print(t.peak_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"measuring the memory of FID failed: {done.stderr[-300:]}")
    return Timed(f"FID of {n} images with its interval, peak memory of the process", float(done.stdout), "GiB")


if __name__ == "__main__":
    print_rows([inception_features(), *distances()])
