"""FID's network against torch-fidelity's and pytorch-fid's on one file of random weights; what is refused."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from gcbench.core.contracts import Dataset, Task
from gcbench.core.errors import UserError
from gcbench.core.files import file_hash
from gcbench.core.samples import Samples
from gcbench.data.open_dataset import open_dataset
from gcbench.evaluators import inception
from gcbench.evaluators.inception import Inception
from gcbench.evaluators.inception_v3 import inception_v3
from gcbench.metrics.fid import FID
from gcbench.metrics.kid import KID
from gcbench.weights.manifest import MANIFEST, find_entry, place
from studies.speed_against_peers import random_weights


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return open_dataset("streets")


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return random_weights()


@pytest.fixture(scope="module")
def file(weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the official file's format: a bare state dict of 566 tensors."""
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    assert len(weights) == 566
    assert weights["fc.weight"].shape == (1008, 2048)
    torch.save(OrderedDict(weights), path)
    return path


@pytest.fixture(scope="module")
def evaluator(file: Path, dataset: Dataset) -> Inception:
    return Inception.open(dataset, spec=f"tf1@{file}")


@pytest.fixture(scope="module")
def images(dataset: Dataset) -> Tensor:
    """Three drawn streets, uint8 [3,3,64,128]."""
    images = np.stack([dataset.pair("val", i, (64, 128))[0] for i in range(3)])
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


@pytest.fixture(scope="module")
def vectors(evaluator: Inception, images: Tensor) -> Tensor:
    found = evaluator(images).vectors
    assert found is not None
    return found


def assert_equal(found: Tensor, expected: Tensor) -> None:
    """To 1e-5 of the largest feature, which is far below how much images differ."""
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    assert (expected[0] - expected[1]).abs().max() > 1e-2 * expected.abs().max()


@pytest.fixture(scope="module")
def fidelity(file: Path) -> Callable[[Tensor], Tensor]:
    network = FeatureExtractorInceptionV3("parity", ["2048"], feature_extractor_weights_path=str(file))

    def features(images: Tensor) -> Tensor:
        with torch.no_grad():
            return network(images)[0]

    return features


def test_features_are_torch_fidelitys(vectors: Tensor, images: Tensor, fidelity: Callable[[Tensor], Tensor]) -> None:
    assert (vectors.shape, vectors.dtype) == ((3, 2048), torch.float32)
    assert_equal(vectors, fidelity(images))


def test_clean_features_are_torch_fidelitys_of_what_pil_resizes(
    file: Path, dataset: Dataset, images: Tensor, fidelity: Callable[[Tensor], Tensor]
) -> None:
    """Only PIL's rounding to 8 bits lies between the two; the other resize is another protocol, and further off."""
    found = Inception.open(dataset, spec=f"clean@{file}")
    resized = np.stack(
        [
            np.asarray(Image.fromarray(image).resize((299, 299), Image.Resampling.BICUBIC))
            for image in images[:2].permute(0, 2, 3, 1).numpy()
        ]
    )
    expected = fidelity(torch.from_numpy(resized).permute(0, 3, 1, 2))
    clean, tf1 = found(images[:2]).vectors, fidelity(images[:2])
    assert clean is not None
    assert (clean - expected).abs().max() < 0.1 * (tf1 - expected).abs().max()
    assert found.id == f"inception-v3-2015-12-05#{file_hash(file)} clean fp32"


def test_features_are_pytorch_fids(
    vectors: Tensor, images: Tensor, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has another resize and another scaling of pixels: it gets images that went through ours."""
    from pytorch_fid import inception as peer

    monkeypatch.setattr(peer, "load_state_dict_from_url", lambda url, progress: torch.load(file, weights_only=True))
    network = peer.InceptionV3((3,), resize_input=False, normalize_input=False).eval()
    images = (inception.RESIZES["tf1"](images, (299, 299)) - 128) / 128
    with torch.no_grad():
        assert_equal(vectors, network(images)[0].flatten(1))


def test_batches_change_nothing(
    evaluator: Inception, images: Tensor, vectors: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Inception, "chunk", 2)
    found = evaluator(images).vectors
    assert found is not None
    assert_equal(found, vectors)


def test_float32_is_not_tensorfloat32(evaluator: Inception, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(evaluator, "network", lambda x: seen.append(torch.backends.cudnn.allow_tf32) or x.mean((2, 3)))
    before = torch.backends.cudnn.allow_tf32
    evaluator(images[:1])
    assert seen == [False]
    assert torch.backends.cudnn.allow_tf32 == before


def test_the_official_file_is_what_is_opened_without_a_file(
    file: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inception, "locate", {"inception-2015-12-05": file}.__getitem__)
    assert Inception.open(dataset).id == f"inception-v3-2015-12-05#{file_hash(file)} tf1 fp32"
    assert find_entry(Inception.weights, MANIFEST).role == Inception.role


# ------------------------------------------------------------------------------------------------ refused


def refusal(state: dict[str, Tensor], path: Path, dataset: Dataset) -> str:
    torch.save(state, path)
    with pytest.raises(UserError) as error:
        Inception.open(dataset, spec=f"tf1@{path}")
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_collapsed_weights_are_refused(tmp_path: Path, dataset: Dataset) -> None:
    """PyTorch's default initial weights load without a word and make every FID 0."""
    torch.manual_seed(0)
    message = refusal(inception_v3().state_dict(), tmp_path / "default.pth", dataset)
    assert "gives two unlike images the same features" in message
    assert "gcbench weights fetch inception-2015-12-05" in message


def test_weights_that_see_nothing_are_refused_whatever_their_size(
    weights: dict[str, Tensor], tmp_path: Path, dataset: Dataset
) -> None:
    """The last block answers with its biases, so that features are large and all the same."""
    blind = dict(weights)
    for name, tensor in weights.items():
        if name.startswith("Mixed_7c") and name.endswith(("bn.weight", "bn.bias")):
            blind[name] = torch.full_like(tensor, 100.0 if name.endswith("bias") else 0.0)
    assert "the same features" in refusal(blind, tmp_path / "blind.pth", dataset)


def test_weights_of_another_network_are_refused(weights: dict[str, Tensor], tmp_path: Path, dataset: Dataset) -> None:
    """torchvision's InceptionV3 has 1000 classes and an auxiliary head."""
    classes = weights | {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    message = refusal(classes, tmp_path / "classes.pth", dataset)
    assert "does not hold weights of InceptionV3 of 2015-12-05" in message
    assert "'fc.weight' is 1000×2048 where 1008×2048 is expected" in message


def test_another_resize_is_refused(file: Path, dataset: Dataset) -> None:
    with pytest.raises(UserError, match="no resize is called 'bilinear'; choose inception=tf1 or inception=clean"):
        Inception.open(dataset, spec=f"bilinear@{file}")


def test_missing_weights_name_the_command(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.delenv("GCBENCH_OFFLINE", raising=False)
    with pytest.raises(UserError, match="gcbench weights fetch inception-2015-12-05"):
        Inception.open(dataset)
    where = place(Inception.weights, find_entry(Inception.weights))
    where.parent.mkdir(parents=True)
    where.write_bytes(b"cut short")
    with pytest.raises(UserError, match="is not the published file"):
        Inception.open(dataset, spec="clean")


@pytest.mark.slow
def test_the_whole_way_from_images_to_fid_and_kid(
    file: Path, evaluator: Inception, dataset: Dataset, tmp_path: Path
) -> None:
    """torch-fidelity reads the same two folders with the same weights. n is below d, where its own eigenvalues err."""
    torch_fidelity = pytest.importorskip("torch_fidelity", reason="torch-fidelity is not installed")
    task = Task(dataset.classes, dataset.void, dataset.aliases)
    metrics = {"fid": FID(task), "kid": KID(task)}
    n = 24
    for side, split in (("real", "train"), ("made", "val")):
        (tmp_path / side).mkdir()
        images = np.stack([dataset.pair(split, i, (64, 128))[0] for i in range(n)])
        if side == "made":
            images = 255 - images
        for i, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / side / f"{i:03d}.png")
        batch = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        samples = Samples(batch, None, None, None, tuple(f"{i:06d}" for i in range(n)))
        for metric in metrics.values():
            add = metric.update_reference if side == "real" else metric.update
            add(samples, {"inception": evaluator(batch)})
    theirs = torch_fidelity.calculate_metrics(
        input1=str(tmp_path / "made"),
        input2=str(tmp_path / "real"),
        fid=True,
        kid=True,
        kid_subsets=1,
        kid_subset_size=n,
        cuda=False,
        batch_size=n,
        feature_extractor_weights_path=str(file),
        cache=False,
        verbose=False,
        save_cpu_ram=True,  # no worker processes
    )
    assert metrics["fid"].compute().value == pytest.approx(theirs["frechet_inception_distance"], rel=1e-5)
    assert metrics["kid"].compute().value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-5)
