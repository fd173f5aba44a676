"""folder: tiny trees in each repository's own form, written as its code writes them and compared with what went in."""

import io
import json
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Cli
from PIL import Image
from torchvision.utils import save_image

from gcbench.baselines.folder.model import Folder
from gcbench.core.contracts import ModelOptions
from gcbench.core.errors import UserError
from gcbench.core.record import Record
from gcbench.core.samples import Samples
from gcbench.data import cityscapes_classes
from gcbench.data.open_dataset import open_dataset
from gcbench.data.streets import Streets

SIZE = (8, 16)
PALETTE = np.array(cityscapes_classes.PALETTE, np.uint8)

# labelId -> colour, as Cityscapes' own list of labels has it; the last is the licence plate
LABEL_COLOURS = np.array(
    [[0, 0, 0]] * 5
    + [[111, 74, 0], [81, 0, 81], [128, 64, 128], [244, 35, 232], [250, 170, 160], [230, 150, 140], [70, 70, 70]]
    + [[102, 102, 156], [190, 153, 153], [180, 165, 180], [150, 100, 100], [150, 120, 90], [153, 153, 153]]
    + [[153, 153, 153], [250, 170, 30], [220, 220, 0], [107, 142, 35], [152, 251, 152], [70, 130, 180], [220, 20, 60]]
    + [[255, 0, 0], [0, 0, 142], [0, 0, 70], [0, 60, 100], [0, 0, 90], [0, 0, 110], [0, 80, 100], [0, 0, 230]]
    + [[119, 11, 32], [0, 0, 142]],
    np.uint8,
)

# PASCAL VOC's first colours, from its development kit
VOC = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128), (128, 128, 128)]
VOC += [(64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0), (64, 0, 128), (192, 0, 128), (64, 128, 128)]
VOC += [(192, 128, 128), (0, 64, 0), (128, 64, 0), (0, 192, 0), (128, 192, 0), (0, 64, 128)]


def draw(n: int, ids: int = 20, size: tuple[int, int] = SIZE, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n,H,W,3] and layouts uint8 [n,H,W], every pixel another."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, *size, 3), np.uint8), rng.integers(0, ids, (n, *size), np.uint8)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def opened(place: Path, dataset: Any = None, **source: object) -> Folder:
    settings = {f"sampler.{key}": value for key, value in source.items()}
    return Folder.open(dataset or Streets(), ModelOptions(checkpoint=place, settings=settings))


def taken(model: Folder, size: tuple[int, int] = SIZE) -> Samples:
    n = len(model.finished)
    return model.generate(None, n=n, size=size, guidance=1, seeds=range(n))


def check(samples: Samples, images: np.ndarray, layouts: np.ndarray | None, source: str | None = None) -> None:
    assert np.array_equal(samples.images.permute(0, 2, 3, 1).numpy(), images)
    assert samples.layout_source == source
    if layouts is None:
        assert samples.layouts is None
    else:
        assert samples.layouts is not None
        assert np.array_equal(samples.layouts.numpy(), layouts)


def manifest(path: Path, texts: Mapping[str, str]) -> Path:
    path.write_text("".join(json.dumps({"file_name": name, "text": [text]}) + "\n" for name, text in texts.items()))
    return path


def write_sheets(folder: Path, arrays: np.ndarray, layouts: np.ndarray, batch: int, unet: int = 0) -> None:
    """As GCDP's test.py: one grid a batch, coloured layouts as floats, named by the batch's last number."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(arrays), batch):
        images = torch.from_numpy(arrays[start : start + batch]).permute(0, 3, 1, 2) / 255
        colours = torch.from_numpy(PALETTE[layouts[start : start + batch]]).permute(0, 3, 1, 2) / 255
        last = start + len(images) - 1
        save_image(torch.cat([images, colours]), folder / f"sample_{last}_{unet}.png", nrow=max(2, batch), pad_value=1)


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_gcdp_sheets(tmp_path: Path, batch: int) -> None:
    images, layouts = draw(12)
    images[0] = 255  # a white image is no gap between tiles
    write_sheets(tmp_path / "results", images, layouts, batch)
    manifest(tmp_path / "results" / "prompts.jsonl", {f"{i:06d}": f"text {i}" for i in range(12)})
    model = opened(tmp_path / "results")
    samples = taken(model)
    check(samples, images, layouts, "generated")
    assert samples.prompts == tuple(f"text {i}" for i in range(12))
    assert (model.conditional, model.guided, model.layouts, model.form) == (False, False, True, "gcdp")


def test_gcdp_sheets_of_the_last_network_count(tmp_path: Path) -> None:
    images, layouts = draw(4)
    write_sheets(tmp_path, *draw(4, size=(4, 8), seed=1), batch=2, unet=0)
    write_sheets(tmp_path, images, layouts, batch=2, unet=1)
    check(taken(opened(tmp_path)), images, layouts, "generated")
    (tmp_path / "sample_1_1.png").rename(tmp_path / "other_1_1.png")
    with pytest.raises(UserError, match="sheets of 2 runs, other and sample; give each its own folder"):
        opened(tmp_path)


def visualise(folder: Path, columns: list[np.ndarray]) -> None:
    """As Semantic Palette's save_full_res: floats of [0,1], which it cuts off, not rounds, to bytes."""
    folder.mkdir(parents=True)
    for i, column in enumerate(columns):
        for j, image in enumerate(torch.from_numpy(column).float()):
            save(folder / f"img_{i}_{j}.png", (image.numpy() * 255).astype(np.uint8))
    (folder / "prop.csv").write_text("img_id,prop\n")


def palette_floats(labels: np.ndarray) -> np.ndarray:
    """As its color_transfer and what follows: floats to bytes, bytes to [-1,1], and back to [0,1] in float32."""
    colours = (255 * (LABEL_COLOURS[labels] / 255.0)).astype(np.uint8)
    normal = (torch.from_numpy(colours).float() / 255 - 0.5) / 0.5
    return ((normal + 1) / 2).numpy()


@pytest.mark.parametrize(
    ("name", "image", "layout"),
    [
        ("cond_interpolation_0", 0, 1),
        ("latent_interpolation_3", 0, 1),
        ("car_manipulation_0", 0, 1),
        ("fixedsem_manipulation_0", 2, 3),
        ("scrop_manipulation_0", 3, 4),
        ("hat_manipulation_0", 3, 2),
    ],
)
def test_semantic_palette(tmp_path: Path, name: str, image: int, layout: int) -> None:
    _, labels = draw(11, ids=34)
    floats = np.random.default_rng(1).random((11, *SIZE, 3)).astype(np.float32)
    columns = [np.random.default_rng(9).random((11, *SIZE, 3)).astype(np.float32) for _ in range(6)]
    columns[image], columns[layout] = floats, palette_floats(labels)
    visualise(tmp_path / "logs" / name, columns)
    labels[labels == 18] = 17  # a group of poles has the poles' colour
    model = opened(tmp_path / "logs")
    check(taken(model), (floats * 255).astype(np.uint8), cityscapes_classes.TRAIN_IDS[labels], "generated")
    assert model.finished.ids[9:] == (f"{name}_9", f"{name}_10")
    (tmp_path / "logs" / name).rename(tmp_path / "logs" / "mine")
    with pytest.raises(UserError, match=r"mine does not say which of its img_<i>_<j>\.png are generated"):
        opened(tmp_path / "logs")


def test_the_visualiser_s_colours_are_cut_off() -> None:
    """Else the slack would be tested by nothing."""
    written = (palette_floats(np.arange(35)) * 255).astype(np.uint8)
    assert (written != LABEL_COLOURS).any()


STEM = "frankfurt_000000_{:06d}_leftImg8bit"


@pytest.mark.parametrize("below", [".", "images", "test_latest/images", "label2city/test_latest/images"])
def test_spade_results(tmp_path: Path, below: str) -> None:
    images, layouts = draw(3)
    for i in range(3):
        save(tmp_path / below / "synthesized_image" / f"{STEM.format(i)}.png", images[i])
        save(tmp_path / below / "input_label" / f"{STEM.format(i)}.png", PALETTE[layouts[i]])
    check(taken(opened(tmp_path)), images, layouts, "given")
    check(taken(opened(tmp_path, layout_source="generated")), images, layouts, "generated")


def test_spade_colours_labels_as_pascal_voc_does(tmp_path: Path) -> None:
    images, labels = draw(3, ids=20)
    labels[0] = 19  # of the 35 labels 0 to 19 alone; one colour of VOC's is also Cityscapes' road
    labels[1:, 0, 0] = 7
    for i in range(3):
        save(tmp_path / "synthesized_image" / f"{i}.png", images[i])
        save(tmp_path / "input_label" / f"{i}.png", np.array(VOC, np.uint8)[labels[i] + 1])
    check(taken(opened(tmp_path, layout_source="generated")), images, labels, "generated")
    # label 23 (sky) has VOC's colour 24; with it the layouts can only be labelIds
    labels[2, 0, 0] = 23
    row = np.array(VOC, np.uint8)[np.where(labels[2] == 23, 0, labels[2] + 1)]
    row[0, 0] = (64, 64, 0)  # VOC's colour 24
    save(tmp_path / "input_label" / "2.png", row)
    check(taken(opened(tmp_path)), images, cityscapes_classes.TRAIN_IDS[labels], "given")
    row[0, 0] = (1, 2, 3)
    save(tmp_path / "input_label" / "2.png", row)
    with pytest.raises(UserError, match=r"2\.png has the colour \(1, 2, 3\), which is no label's"):
        opened(tmp_path)


def test_spade_results_of_two_runs(tmp_path: Path) -> None:
    for run in "ab":
        save(tmp_path / run / "test_latest/images/synthesized_image/0.png", draw(1)[0][0])
    with pytest.raises(UserError, match=r"results of 2 runs: .*a/test_latest/images, .*; give one of these folders"):
        opened(tmp_path)


@pytest.mark.parametrize("below", [".", "images", "SOA/images"])
def test_lafite_names_hold_the_prompts(tmp_path: Path, below: str) -> None:
    images, _ = draw(5)
    names = [
        ("label_00", "A man. With a dog.0"),
        ("label_02", "A car0"),
        ("label_02", "A car1"),
        ("label_02", "A car2"),
    ]
    for image, (label, stem) in zip(images, [*names, ("label_79", "A car0")], strict=True):
        save(tmp_path / below / label / f"{stem}.png", image)
    model = opened(tmp_path)
    samples = taken(model)
    check(samples, images, None)
    assert samples.prompts == ("A man. With a dog.", "A car", "A car", "A car", "A car")
    assert len(set(samples.ids)) == 5
    assert not model.layouts


def test_lafite_seeds(tmp_path: Path) -> None:
    images, _ = draw(3)
    for image, seed in zip(images, (85, 265, 849), strict=True):
        save(tmp_path / f"seed{seed:04d}.png", image)
    model = opened(tmp_path)
    assert model.form == "lafite"
    check(taken(model), images, None)


@pytest.mark.parametrize("pattern", ["sample_{:06d}.png", "Sample_{:06d}.png"])
def test_ganformer(tmp_path: Path, pattern: str) -> None:
    images, layouts = draw(3)
    squares = np.zeros((3, 16, 16, 3), np.uint8)
    squares[:, 4:12] = images  # letterboxed
    for i in range(3):
        save(tmp_path / "out" / pattern.format(i), squares[i])
        save(tmp_path / "labels" / pattern.format(i), layouts[i])
    place = tmp_path / "out"
    if pattern.startswith("s"):  # LDM's are named so too
        with pytest.raises(UserError, match=r"may be the output of ganformer or of ldm; add --set sampler\.format="):
            opened(place)
    with pytest.raises(UserError, match=r"does not say with which truncation .*; add --set sampler\.psi=0\.7"):
        opened(place, format="ganformer")
    check(taken(opened(place, format="ganformer", psi=1.0), (16, 16)), squares, None)
    model = opened(place, format="ganformer", psi=0.7, ratio=0.5)
    check(taken(model), images, None)
    assert model.sampler() == {"psi": 0.7, "ratio": 0.5}
    note = model.describe()["note"]
    assert isinstance(note, str)
    assert "3 of 8×16" in note
    labels = {"format": "ganformer", "psi": 0.7, "ratio": 0.5, "layouts": str(tmp_path / "labels")}
    with pytest.raises(UserError, match=r"draws no layouts, so those in .*labels are a segmenter's; name it with"):
        opened(place, **labels)
    check(taken(opened(place, **labels, derived_by="hrnet")), images, layouts, "derived:hrnet")


def test_dataset_ddpm(tmp_path: Path) -> None:
    images, layouts = draw(5)
    file = tmp_path / "exp" / "samples_8x16x3.npz"
    file.parent.mkdir()
    np.savez(file, images, layouts, np.random.default_rng(0).random(5))
    for place in (file, file.parent):
        model = opened(place)
        assert model.form == "dataset-ddpm"
        check(taken(model), images, layouts, "generated")
    np.savez(file.parent / "samples_4x4x3.npz", images, layouts)
    with pytest.raises(UserError, match=r"2 files of samples: .*; give one of them"):
        opened(file.parent)


@pytest.mark.parametrize("below", [".", "samples"])
def test_dataset_gan(tmp_path: Path, below: str) -> None:
    images, layouts = draw(12)
    for i in range(12):
        save(tmp_path / below / f"{i}.png", images[i])
        save(tmp_path / below / f"label_{i}.png", layouts[i])
        np.save(tmp_path / below / f"{i}.npy", np.zeros(SIZE))
    (tmp_path / below / "12_0.pickle").write_bytes(b"unread")
    model = opened(tmp_path)
    check(taken(model), images, layouts, "generated")
    assert model.finished.ids[-3:] == ("9", "10", "11")
    (tmp_path / below / "label_7.png").unlink()
    with pytest.raises(UserError, match=r"1 of 12 entries of .* have no counterpart in .*, the first is 7;"):
        opened(tmp_path)


def test_ldm(tmp_path: Path) -> None:
    images, _ = draw(3)
    for i in range(3):
        save(tmp_path / "text" / "samples" / f"{i:04}.png", images[i])
        save(tmp_path / "plain" / "img" / f"sample_{i:06}.png", images[i])
    save(tmp_path / "text" / "a-red-car.png", draw(1)[0][0])  # the grid of all
    lines = manifest(tmp_path / "texts.jsonl", {f"{i:04}.png": f"text {i}" for i in range(3)})
    for place in (tmp_path / "text", tmp_path / "text" / "samples"):
        model = opened(place, prompts=str(lines))
        assert model.form == "ldm"
        check(taken(model), images, None)
        assert taken(model).prompts == ("text 0", "text 1", "text 2")
    model = opened(tmp_path / "plain")
    assert model.form == "ldm"
    check(taken(model), images, None)
    assert taken(model).prompts is None


def test_imagen(tmp_path: Path) -> None:
    images, _ = draw(11)
    for i in range(11):
        save(tmp_path / f"sample-{i}.png", images[i])
    manifest(tmp_path / "prompts.jsonl", {f"sample-{i}.png": f"text {i}" for i in range(11)})
    model = opened(tmp_path)
    assert model.form == "imagen"
    check(taken(model), images, None)
    assert taken(model).prompts == tuple(f"text {i}" for i in range(11))


def test_our_own_folder_with_label_ids(tmp_path: Path) -> None:
    images, labels = draw(3, ids=34)
    for i in range(3):
        save(tmp_path / "images" / f"{STEM.format(i)}.png", images[i])
        save(tmp_path / "layouts" / f"frankfurt_000000_{i:06d}_gtFine_labelIds.png", labels[i])
    save(tmp_path / "grid.png", images[0])
    model = opened(tmp_path)
    assert model.form == "folder"
    check(taken(model), images, cityscapes_classes.TRAIN_IDS[labels], "generated")
    note = model.describe()["note"]
    assert isinstance(note, str)
    assert "labelIds mapped to train ids" in note


def test_label_ids_shown_by_a_later_layout_hold_for_all(tmp_path: Path) -> None:
    images, labels = draw(3, ids=12)
    labels[2, 0, 0] = 26
    for i in range(3):
        save(tmp_path / "images" / f"{i}.png", images[i])
        save(tmp_path / "layouts" / f"{i}.png", labels[i])
    model = opened(tmp_path)
    first = model.generate(None, n=1, size=SIZE, guidance=1, seeds=[0])
    check(first, images[:1], cityscapes_classes.TRAIN_IDS[labels[:1]], "generated")


def test_cityscapes_names_are_no_sheets(tmp_path: Path) -> None:
    images, _ = draw(2)
    for i, city in enumerate(("lindau", "munster")):
        save(tmp_path / f"{city}_000001_{i:06d}.png", images[i])
    assert opened(tmp_path).form == "folder"


def test_images_are_brought_to_size(tmp_path: Path) -> None:
    images, layouts = draw(2)
    save(tmp_path / "images" / "a.png", images[0])
    save(tmp_path / "layouts" / "a.png", layouts[0])
    save(tmp_path / "images" / "b.png", images[1].repeat(2, 0).repeat(2, 1))
    save(tmp_path / "layouts" / "b.png", layouts[1].repeat(2, 0).repeat(2, 1))
    model = opened(tmp_path)
    check(taken(model), images, layouts, "generated")
    note = model.describe()["note"]
    assert isinstance(note, str)
    assert re.search(r"form folder: 1 of 8×16, 1 of 16×32, resized to the protocol's size \(box\); layouts gen", note)


def test_a_seed_beyond_the_images(tmp_path: Path) -> None:
    save(tmp_path / "a.png", draw(1)[0][0])
    with pytest.raises(UserError, match=r"holds 1 images, for the seeds 0 to 0, and seed 3 is asked .*give -n 1"):
        opened(tmp_path).generate(None, n=2, size=SIZE, guidance=1, seeds=[0, 3])


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("name", ["network-snapshot-025000.pkl", "latest.pt", "seg_g_net_1.pth", "0.npy", "a.PICKLE"])
@pytest.mark.parametrize("inside", [False, True])
def test_pickles_stay_unread(tmp_path: Path, name: str, inside: bool) -> None:
    sprung = tmp_path / "sprung"
    file = tmp_path / "tree" / name
    file.parent.mkdir()
    buffer = io.BytesIO()
    if name.endswith(".npy"):
        np.save(buffer, np.array([Trap(sprung)], object), allow_pickle=True)
    else:
        pickle.dump(Trap(sprung), buffer)
    file.write_bytes(buffer.getvalue())
    with pytest.raises(UserError, match=rf"{name} may be a pickle.* unread; draw images .* give their folder"):
        opened(file.parent if inside else file)
    assert not sprung.exists()


@pytest.mark.parametrize("trapped", ["arr_0", "arr_1", "arr_2"])
def test_objects_in_an_npz_stay_unread(tmp_path: Path, trapped: str) -> None:
    images, layouts = draw(2)
    arrays: dict[str, Any] = {"arr_0": images, "arr_1": layouts, "arr_2": np.zeros(2)}
    arrays[trapped] = np.array([Trap(tmp_path / "sprung")] * 2, object)
    np.savez(tmp_path / "samples_8x16x3.npz", **arrays)
    if trapped == "arr_0":
        with pytest.raises(UserError, match="arr_0 is object"):
            opened(tmp_path / "samples_8x16x3.npz")
    else:
        model = opened(tmp_path / "samples_8x16x3.npz")
        check(taken(model), images, *((None,) if trapped == "arr_1" else (layouts, "generated")))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"format": "gan"}, r"sampler\.format='gan' is none of gcdp, .*; choose one"),
        ({"format": "spade"}, r"holds no synthesized_image and input_label; give the folder that does"),
        ({"phi": 0.7}, r"unknown setting 'sampler\.phi'; did you mean sampler\.psi"),
        ({"ratio": 0}, r"setting sampler\.ratio=0 is not valid"),
        ({"derived_by": "hrnet"}, r"has no layouts to say the source of"),
    ],
)
def test_settings(tmp_path: Path, source: dict[str, object], message: str) -> None:
    save(tmp_path / "a.png", draw(1)[0][0])
    with pytest.raises(UserError, match=message):
        opened(tmp_path, **source)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="model folder lacks its images; give"):
        Folder.open(Streets(), ModelOptions())
    with pytest.raises(UserError, match="holds no finished images in a format that is read"):
        opened(tmp_path)
    with pytest.raises(UserError, match=r"--checkpoint .* is not there"):
        opened(tmp_path / "none")


def test_a_sweep(toyland: Path, tmp_path: Path, cli: Cli, oracle: None, without_curve: None) -> None:
    """Real pairs written as DatasetGAN does score as the ceiling; a derived layout's mIoU is refused."""
    dataset = open_dataset(str(toyland))
    texts = {}
    for i in range(7):
        image, layout = dataset.pair("val", i, dataset.size)
        save(tmp_path / "out" / f"{i}.png", image)
        save(tmp_path / "out" / f"label_{i}.png", layout)
        texts[f"{i}.png"] = dataset.captions("val", i)[0]
    manifest(tmp_path / "out" / "prompts.jsonl", texts)
    common = ("sweep", "--model", "folder", "--checkpoint", tmp_path / "out", "--dataset", toyland)
    done = cli(*common, "-n", 7, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    record = Record.read(tmp_path / "run" / "record.json")
    (point,) = record.points
    assert point.guidance is None
    for name in ("semantic-recall", "miou"):
        assert point.scores[name].value == record.ceiling[name].value == 1
    assert record.model.name == "folder"
    assert record.model.note is not None
    assert "form dataset-gan: 7 of" in record.model.note
    done = cli(
        *common,
        "-n",
        7,
        "--set",
        "sampler.derived_by=hrnet",
        "--set",
        "sampler.psi=0.7",
        "--out",
        tmp_path / "b",
    )
    assert done.code == 0, done.err
    record = Record.read(tmp_path / "b" / "record.json")
    assert record.points[0].scores["miou"].status == "skipped"
    assert "derived:hrnet" in (record.points[0].scores["miou"].reason or "")
    assert record.protocol.sampler == {"psi": 0.7}
    done = cli(*common, "-n", 8, "--out", tmp_path / "c")
    assert done.code == 2
    assert "holds 7 images" in done.complaint
