"""The evaluator of attributes: the authors' file of ML-Decoder, of timm networks, our own; labels, ids, refusals."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from conftest import card_beside
from torch import Tensor

from gcbench.core import checkpoint
from gcbench.core.contracts import Dataset, Size
from gcbench.core.errors import UserError
from gcbench.core.files import file_hash
from gcbench.data.celeba_attributes import ATTRIBUTES
from gcbench.evaluation.scoring import open_evaluators
from gcbench.evaluators.attributes import Attributes
from gcbench.evaluators.attributes_training import AttributesRecipe
from gcbench.evaluators.classifier import ML_DECODER, Classifier
from gcbench.networks.mldecoder import MLDecoder
from gcbench.training.recipe import Batch

SMALL = "test_efficientnet"  # 0.1 M parameters
SIZE = (32, 48)


class Toy(Dataset):
    """Two attributes are the colours of an image's halves; the third is none of CelebA's."""

    name = "toy"
    classes = ("skin", "hair")
    palette = ((0, 0, 0), (255, 255, 255))
    void = None
    size = SIZE
    splits = ("train", "val")
    aliases = {name: (name,) for name in ("skin", "hair")}  # noqa: RUF012
    resize = "none"
    version = "1"
    attributes = ("Smiling", "Eyeglasses", "Freckles")
    attribute_words = {name: (name.lower(),) for name in attributes}  # noqa: RUF012

    @classmethod
    def open(cls) -> "Toy":
        return cls()

    def ids(self, split: str) -> Sequence[str]:
        return [str(i) for i in range(16)]

    def pair(self, split: str, index: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
        image = np.random.default_rng(index).integers(0, 60, (*size, 3), dtype=np.uint8)
        for half, bit in ((slice(None, size[0] // 2), 0), (slice(size[0] // 2, None), 1)):
            image[half, :, bit] += np.uint8(180 * (index >> bit & 1))
        return image, np.zeros(size, np.uint8)

    def captions(self, split: str, index: int) -> Sequence[str]:
        return ["smiling"]

    def attribute_labels(self, split: str, index: int) -> np.ndarray:
        return np.array([bool(index & 1), bool(index & 2), index % 7 == 0])


class Plain(Toy):
    name = "plain"
    attributes = ()


class Strange(Toy):
    name = "strange"
    attributes = ("Winged", "Horned")


class Faces(Toy):
    """Some of CelebA's, in another order, written otherwise, and one that CelebA lacks."""

    name = "faces-like"
    attributes = ("Young", "Freckles", "5 o'clock shadow", "Smiling")


def some_images(n: int = 3, size: Size = SIZE) -> Tensor:
    return torch.randint(256, (n, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))


def probabilities(evaluator: Attributes, images: Tensor) -> Tensor:
    found = evaluator(images).probabilities
    assert found is not None
    assert found.dtype == torch.float32
    assert found.shape == (len(images), len(evaluator.places))
    return found


# ------------------------------------------------------------------------------------------------ ML-Decoder's file


def authors_key(name: str) -> str:
    """timm's name of a body's tensor -> the authors': a convolution and its norm are 0 and 1 of a pair."""
    head, _, last = name.rpartition(".")
    owner, _, kind = head.rpartition(".")
    if kind not in ("conv", "bn"):
        return name
    block = owner.rpartition(".")[0]
    blurred = owner.endswith("conv2") and block.endswith(("layer2.0", "layer3.0", "layer4.0"))
    return f"{owner}{'.0' if blurred else ''}.{'0' if kind == 'conv' else '1'}.{last}"


def loud(network: torch.nn.Module) -> None:
    """Random weights whose signals stay of order 1: batch statistics of an image, no zero norms; exact in float16."""
    with torch.no_grad():
        network.train()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
                module.weight.uniform_(0.5, 1)
                module.bias.normal_(std=0.1)
        network(torch.rand(2, 3, 64, 64))
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())
    network.eval()


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Callable[[Tensor], Tensor]]:
    """A file of random weights with the authors' names, and what a network so made says: timm's body, then the head.

    The authors' norm takes |weight| + 1e-5, so the file holds negated weights that are 1e-5 smaller.
    """
    torch.manual_seed(0)
    body = timm.create_model("tresnet_v2_l", num_classes=0, global_pool="")
    loud(body)
    head = MLDecoder(40, 2048).eval()
    model = {f"head.{name}": value.half() for name, value in head.state_dict().items()}
    head.load_state_dict({name.removeprefix("head."): value.float() for name, value in model.items()})
    for name, value in body.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            model[authors_key(name)] = 1e-5 - value if name.endswith("bn.weight") else value.half()
    path = tmp_path_factory.mktemp("official") / "tresnet_l.pth"
    torch.save({"model": model}, path)
    return path, lambda images: head(body(images)).sigmoid()


@torch.inference_mode()
def test_the_authors_file(official: tuple[Path, Callable[[Tensor], Tensor]]) -> None:
    """Body and head give what timm's network and the head give; CelebA's order, square images, no normalisation."""
    path, expect = official
    evaluator = Attributes.open(Faces(), spec=f"{ML_DECODER}:64@{path}")
    assert evaluator.id == f"{ML_DECODER}#{file_hash(path)} 64 fp32"
    images = some_images(2, (80, 112))
    squares = F.interpolate(images.float(), (64, 64), mode="bilinear", antialias=True, align_corners=False) / 255
    expected = expect(squares)
    found = probabilities(evaluator, images)
    order = [ATTRIBUTES.index(name) for name in ("Young", "5_o_Clock_Shadow", "Smiling")]
    torch.testing.assert_close(found[:, [0, 2, 3]], expected[:, order], rtol=1e-4, atol=1e-5)
    assert found[:, 1].isnan().all()
    assert expected[:, order].std() > 1e-3


def test_448_pixels_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcbench.evaluators.classifier._build", lambda arch, classes: timm.create_model(SMALL))
    assert Classifier(ML_DECODER, 40).size == 448


@pytest.mark.parametrize("arch", ["tresnet_l", "tresnet_v2_l", "resnet18"])
def test_an_authors_file_under_the_name_of_a_timm_network(
    official: tuple[Path, Callable[[Tensor], Tensor]], arch: str
) -> None:
    with pytest.raises(UserError, match=rf"ML-Decoder file.*{ML_DECODER}@.*tresnet_v2_l, not its tresnet_l"):
        Attributes.open(Faces(), spec=f"{arch}@{official[0]}")


def decoder_file(path: Path, classes: int, features: int = 2048, **more: object) -> Path:
    head = {f"head.{name}": value for name, value in MLDecoder(classes, features).state_dict().items()}
    torch.save({"model": head, **more}, path)
    return path


def test_a_body_that_is_not_the_authors(tmp_path: Path) -> None:
    """timm's `tresnet_l` has 2432 features."""
    path = decoder_file(tmp_path / "wide.pth", 40, 2432)
    with pytest.raises(UserError, match=r"reads 2432 features.*2048, timm's tresnet_v2_l"):
        Attributes.open(Faces(), spec=f"{ML_DECODER}@{path}")


def test_a_number_of_classes_that_has_no_labels(tmp_path: Path) -> None:
    path = decoder_file(tmp_path / "coco.pth", 80)
    with pytest.raises(UserError, match=r"80 attributes and no list of them; name all.*coco.pth.labels.txt"):
        Attributes.open(Faces(), spec=f"{ML_DECODER}@{path}")
    (tmp_path / "coco.pth.labels.txt").write_text("Smiling\nYoung\n")
    with pytest.raises(UserError, match="80 attributes and a list of 2"):
        Attributes.open(Faces(), spec=f"{ML_DECODER}@{path}")
    path = decoder_file(tmp_path / "odd.pth", 3, idx_to_class={"first": "Young"})
    with pytest.raises(UserError, match="keys that are no numbers"):
        Attributes.open(Faces(), spec=f"{ML_DECODER}@{path}")


def test_a_head_without_its_body(tmp_path: Path) -> None:
    path = decoder_file(tmp_path / "head.pth", 2, idx_to_class={1: "Smiling", 0: "Young"})
    with pytest.raises(UserError, match=rf"head.pth is not of {ML_DECODER} with 2 attributes: Missing key.*body.conv1"):
        Attributes.open(Faces(), spec=f"{ML_DECODER}@{path}")


# ------------------------------------------------------------------------------------------------ timm networks


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, torch.nn.Module]:
    torch.manual_seed(1)
    network = timm.create_model(SMALL, num_classes=4)
    loud(network)
    path = tmp_path / "small.pt"
    torch.save({"state_dict": network.state_dict()}, path)
    return path, network


@torch.inference_mode()
def test_a_timm_network_beside_a_list_of_labels(small: tuple[Path, torch.nn.Module]) -> None:
    path, network = small
    beside = path.with_name("small.pt.labels.txt")
    beside.write_text("freckles\n\nSMILING\nWearing Hat\nYoung\n")
    evaluator = Attributes.open(Faces(), spec=f"{SMALL}:40@{path}")
    assert evaluator.id == f"{SMALL}#{file_hash(path)}+{file_hash(beside, 6)} 40 fp32"
    images = some_images(5)
    squares = F.interpolate(images.float() / 255, (40, 40), mode="bilinear", antialias=True, align_corners=False)
    mean, std = (torch.tensor(network.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    expected = network((squares - mean) / std).sigmoid()
    found = probabilities(evaluator, images)
    torch.testing.assert_close(found[:, [1, 3, 0]], expected[:, [0, 1, 3]], rtol=1e-4, atol=1e-5)
    assert found[:, 2].isnan().all()
    assert Attributes.open(Faces(), spec=f"{SMALL}@{path}").id.endswith(" 160 fp32")  # timm's own size


def test_labels_in_the_file_are_ordered_by_their_number(small: tuple[Path, torch.nn.Module]) -> None:
    path, network = small
    numbered = {3: "d", 1: "Young", 0: "Smiling", 2: "c"}
    torch.save({"model": network.state_dict(), "idx_to_class": numbered}, path)
    assert Attributes.open(Faces(), spec=f"{SMALL}@{path}").places == [1, None, None, 0]


def test_other_labels_are_another_evaluator(small: tuple[Path, torch.nn.Module]) -> None:
    path, _ = small
    ids = []
    for text in ("Young\nSmiling\na\nb", "Smiling\nYoung\na\nb"):
        path.with_name("small.pt.labels.txt").write_text(text)
        ids.append(Attributes.open(Faces(), spec=f"{SMALL}@{path}").id)
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    ("spec", "labels", "match"),
    [
        (f"{SMALL}@{{path}}", None, r"small.pt.labels.txt is missing; list there"),
        (f"{SMALL}@{{path}}", "Young\nSmiling", f"not of {SMALL} with 2 attributes: size mismatch"),
        (f"{SMALL}@{{path}}", "a\nb\nc\nd", r"knows none of faces-like's attributes \(a, b, c, ... against Young"),
        (f"{SMALL}@{{path}}", "a\nA\nYoung\nd", "name one twice"),
        ("resnet18@{path}", "a\nb\nc\nYoung", "not of resnet18 with 4 attributes"),
        ("resnet81@{path}", "a\nb\nc\nYoung", "architecture 'resnet81'; did you mean resnet18"),
        ("resnet18.tag@{path}", "a\nb\nc\nYoung", "Invalid pretrained tag"),
        ("@{path}", "a\nb\nc\nYoung", "its architecture must be named"),
        (f"{SMALL}:big@{{path}}", "a\nb\nc\nYoung", "'big' is no size"),
        (f"{SMALL}:0@{{path}}", "a\nb\nc\nYoung", "'0' is no size"),
        (f"{ML_DECODER}@{{path}}", "a\nb\nc\nYoung", "has no ML-Decoder head"),
        (f"{SMALL}@nowhere.pt", None, "no attribute classifier is trained for 'nowhere.pt'"),
    ],
)
def test_what_cannot_be_opened(
    small: tuple[Path, torch.nn.Module], spec: str, labels: str | None, match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GCBENCH_WEIGHTS", raising=False)
    path, _ = small
    if labels is not None:
        path.with_name("small.pt.labels.txt").write_text(labels)
    with pytest.raises(UserError, match=match) as caught:
        Attributes.open(Faces(), spec=spec.format(path=path))
    assert "\n" not in str(caught.value)


def test_a_size_that_the_network_does_not_take(tmp_path: Path) -> None:
    network = timm.create_model("test_vit", num_classes=2)
    torch.save(network.state_dict(), tmp_path / "vit.pt")
    (tmp_path / "vit.pt.labels.txt").write_text("Young\nSmiling\n")
    with pytest.raises(UserError, match="test_vit does not take images of 50 px"):
        Attributes.open(Faces(), spec=f"test_vit:50@{tmp_path / 'vit.pt'}")


def test_damaged_weights_do_not_pass_for_unknown_attributes(small: tuple[Path, torch.nn.Module]) -> None:
    """NaN stands for "not known to this classifier"; a network that gives NaN is an error."""
    path, network = small
    with torch.no_grad():
        network.get_parameter("classifier.bias")[2] = torch.nan
    torch.save(network.state_dict(), path)
    path.with_name("small.pt.labels.txt").write_text("a\nb\nc\nYoung")
    with pytest.raises(UserError, match="not finite"):
        Attributes.open(Faces(), spec=f"{SMALL}@{path}")(some_images())


# ------------------------------------------------------------------------------------------------ our own


def recipe(steps: int = 25) -> AttributesRecipe:
    settings = {"network.arch": SMALL, "network.size": 32, "train.steps": steps, "train.warmup": 0}
    return Attributes.recipe(Toy(), settings)


def test_training_lowers_the_loss_and_finds_the_colours(tmp_path: Path) -> None:
    learner = recipe()
    toy = Toy()
    pairs = [toy.pair("train", i, SIZE)[0] for i in range(16)]
    labels = torch.from_numpy(np.stack([toy.attribute_labels("train", i) for i in range(16)]))
    images = torch.from_numpy(np.stack(pairs)).permute(0, 3, 1, 2)
    batch = Batch(images, torch.zeros(16, *SIZE, dtype=torch.int64), [""] * 16, labels)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=5e-3)
    losses = []
    for step in range(25):
        values = learner(batch, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        values["loss"].backward()
        optimizer.step()
        losses.append(values["loss"].item())
    assert losses[-1] < 0.5 * losses[0]
    assert values["accuracy"] > 0.85
    assert 0.5 < values["recall"] <= 1
    learner.eval()
    learner.preview(tmp_path / "preview.png")
    assert (tmp_path / "preview.png").stat().st_size > 0


def test_loss_accuracy_and_recall_by_hand() -> None:
    learner = recipe().eval()
    learner.classifier.forward = lambda x, *drawn: torch.tensor([[2.0, -1.0, 0.5], [-3.0, 4.0, -0.5]])  # type: ignore[method-assign]
    labels = torch.tensor([[True, True, False], [False, True, False]])
    batch = Batch(some_images(2), torch.zeros(2, *SIZE, dtype=torch.int64), ["", ""], labels)
    values = learner(batch, torch.Generator().manual_seed(0))
    p = 1 / (1 + np.exp(-np.array([2.0, -1.0, -0.5, 3.0, 4.0, 0.5])))  # of being right
    assert values["loss"].item() == pytest.approx(-np.log(p).mean(), rel=1e-5)
    assert values["accuracy"].item() == pytest.approx(4 / 6)
    assert values["recall"].item() == pytest.approx(2 / 3)


def test_the_seed_fixes_the_first_weights() -> None:
    first, second = recipe(), recipe()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    learner = recipe()
    loud(learner.classifier.network)
    path = tmp_path / "attributes" / "toy" / "model.safetensors"
    checkpoint.save(path, learner.weights(), learner.card({"steps": 0}))
    return path


@torch.inference_mode()
def test_saved_and_opened_it_answers_the_same(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCBENCH_WEIGHTS", str(saved.parents[2]))
    network = Classifier(SMALL, 3, 32).eval()
    checkpoint.fill(network.network, checkpoint.load(saved, kind="evaluator"))
    expected = network(some_images(20).float() / 255).sigmoid()  # more than one chunk
    name = f"{SMALL}@toy#{checkpoint.read_card(saved).sha256} 32 fp32"
    for spec in (None, SMALL, "@toy", f"{SMALL}@toy", f"@{saved}", f"{SMALL}:32@{saved}", f"@{saved.parent}"):
        evaluator = Attributes.open(Toy(), spec=spec)
        assert evaluator.id == name
    torch.testing.assert_close(probabilities(evaluator, some_images(20)), expected, rtol=1e-4, atol=1e-5)


def test_another_dataset_takes_what_it_shares(saved: Path) -> None:
    evaluator = Attributes.open(Faces(), spec=f"@{saved}")
    found = probabilities(evaluator, some_images(2))
    assert found[:, [1, 3]].isfinite().all()
    assert found[:, [0, 2]].isnan().all()
    with pytest.raises(UserError, match="knows none of strange's attributes"):
        Attributes.open(Strange(), spec=f"@{saved}")


def test_a_checkpoint_under_another_name_or_size(saved: Path) -> None:
    for spec in (f"resnet18@{saved}", f"{SMALL}:64@{saved}", f"{ML_DECODER}@{saved}"):
        with pytest.raises(UserError, match=f"holds {SMALL} for 32 px and nothing else"):
            Attributes.open(Toy(), spec=spec)


def test_a_card_of_something_else(saved: Path) -> None:
    card = card_beside(saved)
    card.write_text(card.read_text().replace('"size"', '"width"'))
    with pytest.raises(UserError, match="describes no attribute classifier"):
        Attributes.open(Toy(), spec=f"@{saved}")


def test_without_weights_or_attributes_the_metric_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GCBENCH_WEIGHTS", raising=False)
    evaluators = open_evaluators(Toy(), ["attribute-recall"], [], "cpu")
    assert "gcbench train --evaluator attributes --dataset toy" in evaluators.missing["attributes"]
    evaluators = open_evaluators(Plain(), ["attribute-recall"], [], "cpu")
    assert evaluators.missing["attributes"].startswith("plain has no attributes")
    with pytest.raises(UserError, match="plain has no attributes"):
        Attributes.recipe(Plain(), {})


def test_trained_by_the_command(cli: Callable[..., object], toyland: Path) -> None:
    """A dataset without attributes: one sentence, exit 2."""
    result = cli("train", "--evaluator", "attributes", "--dataset", toyland)
    assert result.code == 2  # type: ignore[attr-defined]
    assert "toyland has no attributes" in result.complaint  # type: ignore[attr-defined]
