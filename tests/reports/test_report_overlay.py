"""The report of several runs: one panel with all curves, letters, agreement in the gallery, and how large a file is."""

import base64
import json
import re
import shutil
from html import unescape
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcbench.core.errors import UserError
from gcbench.data.open_dataset import open_dataset
from gcbench.reports.html_report import agreement, write_report
from gcbench.reports.overlaid_runs import overlay
from gcbench.reports.run_pair import Run, read_runs, run_letter

MEASURED = Path(str(files("gcbench.results"))) / "measured"
BASELINE = MEASURED / "regression" / "streets"
FACES = MEASURED / "faces" / "claim"


def test_letters_are_those_of_a_spreadsheet() -> None:
    letters = [run_letter(place) for place in range(26 + 26 * 26 + 1)]
    assert letters[:3] == ["A", "B", "C"]
    assert (letters[25], letters[26], letters[27], letters[51], letters[52]) == ("Z", "AA", "AB", "AZ", "BA")
    assert letters[-2:] == ["ZZ", "AAA"]
    assert len(set(letters)) == len(letters)


def copied(tmp_path: Path, name: str, **protocol: object) -> Path:
    """A bundled record of the faces under another protocol."""
    record = json.loads((FACES / "imagen-train-s0" / "record.json").read_text(encoding="utf-8"))
    record["protocol"] |= protocol
    (tmp_path / name).mkdir()
    (tmp_path / name / "record.json").write_text(json.dumps(record), encoding="utf-8")
    return tmp_path / name


def test_classes_are_those_of_the_texts_own_dataset(tmp_path: Path) -> None:
    """A person is a class of the streets and none of the faces; samples of one name and no text are not one sample."""
    faces = tmp_path / "faces"
    shutil.copytree(BASELINE, faces, ignore=shutil.ignore_patterns("layouts"))
    record = json.loads((faces / "record.json").read_text(encoding="utf-8"))
    record["protocol"]["dataset"] = record["spec"]["dataset"] = "faces"
    (faces / "record.json").write_text(json.dumps(record), encoding="utf-8")
    table = (faces / "per_sample.csv").read_text(encoding="utf-8")
    (faces / "per_sample.csv").write_text(re.sub(r"An image[^\"\n]*", "A person wears hat.", table), encoding="utf-8")
    page = write_report([BASELINE, faces], tmp_path / "r.html").read_text(encoding="utf-8")
    named = [json.loads(unescape(text)) for text in re.findall(r'data-classes="([^"]*)"', page)]
    count = len(list((BASELINE / "samples" / "guidance-4" / "images").iterdir()))
    assert len(named) == 2 * count
    assert named[count:] == [["hat"]] * count
    for run in (streets := tmp_path / "streets"), faces:
        if run == streets:
            shutil.copytree(BASELINE, run)
        (run / "per_sample.csv").unlink()
    page = write_report([streets, faces], tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.count('<article class="card"') == 2 * count


def test_the_colours_of_layouts_are_named(tmp_path: Path) -> None:
    page = write_report([BASELINE], tmp_path / "r.html").read_text(encoding="utf-8")
    dataset = open_dataset("streets")
    for name, (red, green, blue) in zip(dataset.classes, dataset.palette, strict=True):
        assert f'<span style="background: rgb({red}, {green}, {blue})"></span>{name}</li>' in page


def test_curves_of_one_protocol_are_drawn_at_their_values(tmp_path: Path) -> None:
    other = copied(tmp_path, "sampled", sampler={"steps": 9.0}, seed=7)
    runs = read_runs([FACES / "gcdp-train-s0", other, FACES / "imagen-train25-s1"])
    made = overlay(runs)
    assert made.left_out == []
    assert made.figure is not None
    (panel,) = made.figure.axes
    for run in runs:
        expected = [(p.scores["fd"].value, p.scores["semantic-recall"].value) for p in run.record.points]
        assert any(
            np.array_equal(line.get_xydata(), expected)
            for line in panel.lines
            if len(line.get_xydata()) == len(expected)
        )
    legend = panel.get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    assert names[:3] == [
        "A gcdp (gcdp-train-s0), w = 1 to 4",
        "B imagen (sampled), w = 1 to 4",
        "C imagen (imagen-train25-s1), w = 1 to 4",
    ]
    assert {"A", "B", "C"} <= {text.get_text() for text in panel.texts}


def test_many_runs_are_told_apart() -> None:
    made = overlay(read_runs(sorted(FACES.glob("*-s[0-9]"))))
    assert made.figure is not None
    assert made.title.endswith("of 18 runs")
    curves = [line for line in made.figure.axes[0].lines if len(line.get_xydata()) == 3 and line.get_linestyle() == "-"]
    looks = {(line.get_color(), line.get_marker()) for line in curves}
    assert len(looks) == 18


def test_another_protocol_is_named_and_not_drawn(tmp_path: Path) -> None:
    strange = copied(tmp_path, "strange", evaluators={"segmenter": "other#1", "attributes": "x#2"})
    fewer = copied(tmp_path, "fewer", n=400)
    text = write_report(
        [FACES / "gcdp-train-s0", strange, FACES / "imagen-train-s0", fewer], tmp_path / "r.html"
    ).read_text(encoding="utf-8")
    links, places = (re.findall(pattern, text) for pattern in ('href="#([^"]*)"', '<h2 id="(run-[^"]*)"'))
    assert links == places == ["run-A", "run-B", "run-C", "run-D"]
    section = text[text.index("All runs in one panel") :]
    section = section[: section.index("</section>")]
    assert "of A, C" in section
    assert "B is not in it: evaluators: segmenter hrnet_w18_small@faces#f93ce84a953f ×2 fp32 against other#1" in section
    assert "D is not in it: n: 500 against 400" in section


def test_runs_that_share_nothing_have_no_panel(tmp_path: Path) -> None:
    made = overlay(read_runs([FACES / "gcdp-train-s0", copied(tmp_path, "fewer", n=400)]))
    assert made.figure is None
    assert len(made.left_out) == 1
    alone = write_report([FACES / "gcdp-train-s0"], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "All runs in one panel" not in alone


def test_agreement_counts_pixels_that_are_not_void() -> None:
    layout, seen = np.array([[0, 1, 1, 9]]), np.array([[0, 1, 2, 3]])
    assert agreement(layout, seen, 9) == pytest.approx(2 / 3)
    assert agreement(layout, seen, None) == 0.5
    assert agreement(np.full((2, 2), 9), np.zeros((2, 2), int), 9) is None


def layouts_of(run: Run) -> dict[bytes, np.ndarray]:
    """Image -> its kept layout."""
    kept = {}
    for image in sorted(run.path.glob("samples/*/images/*.png")):
        layout = np.asarray(Image.open(image.parents[1] / "layouts" / image.name))
        kept[np.asarray(Image.open(image)).tobytes()] = layout
    return kept


def half_wrong(run: Run, images: np.ndarray) -> np.ndarray:
    """The layouts, but for the lower half, in which all is sky (10)."""
    kept = layouts_of(run)
    seen = np.stack([kept[image.tobytes()] for image in images]).copy()
    seen[:, seen.shape[1] // 2 :] = 10
    return seen


def test_agreement_is_shown_and_sorted_by(tmp_path: Path) -> None:
    page = write_report([BASELINE], tmp_path / "r.html", half_wrong).read_text(encoding="utf-8")
    assert page.count("agreement of layout and segmenter (share of non-void pixels)</option>") == 1
    shown = [float(value) for value in re.findall(r"agreement ([\d.]+)</span>", page)]
    expected = []
    for layout in layouts_of(Run.read(BASELINE, "A")).values():
        upper, lower = np.split(layout, 2)
        right = (upper != 19).sum() + (lower == 10).sum()
        expected.append(float(f"{right / (layout != 19).sum():.3g}"))
    assert sorted(shown) == sorted(expected)
    means = [json.loads(text)[-1] for text in re.findall(r'data-means="([^"]*)"', page)]
    assert [float(f"{mean:.3g}") for mean in means] == shown  # one scale
    unseen = write_report([BASELINE], tmp_path / "s.html").read_text(encoding="utf-8")
    assert "agreement" not in unseen


def test_layouts_that_the_segmenter_read_have_no_agreement(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(BASELINE, run)
    record = json.loads((run / "record.json").read_text(encoding="utf-8"))
    record["model"]["layouts"] = "derived:hrnet"
    (run / "record.json").write_text(json.dumps(record), encoding="utf-8")
    page = write_report([run], tmp_path / "r.html", half_wrong).read_text(encoding="utf-8")
    assert "so their agreement says nothing" in page
    assert "</option>" in page
    assert "share of non-void pixels" not in page


def test_64_samples_at_five_scales_stay_under_3_mb(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(BASELINE, run, ignore=shutil.ignore_patterns("samples", "per_sample.csv"))
    record = json.loads((run / "record.json").read_text(encoding="utf-8"))
    point = record["points"][0]
    record["points"] = [{**point, "guidance": float(scale)} for scale in (1, 2, 3, 4, 6)]
    (run / "record.json").write_text(json.dumps(record), encoding="utf-8")
    images = sorted(BASELINE.glob("samples/*/images/*.png"))
    for scale in (1, 2, 3, 4, 6):
        for kind in ("images", "layouts"):
            folder = run / "samples" / f"guidance-{scale}" / kind
            folder.mkdir(parents=True)
            for place in range(64):
                source = images[place % len(images)]
                shutil.copy(source.parents[1] / kind / source.name, folder / f"{place:05d}.png")
    file = write_report([run], tmp_path / "r.html", half_wrong)
    page = file.read_text(encoding="utf-8")
    assert page.count('<figure class="tile">') == 320
    assert page.count('alt="what the segmenter saw"') == 320
    assert file.stat().st_size < 3e6


def test_a_name_that_is_markup_stays_text_in_the_panel(tmp_path: Path) -> None:
    run = copied(tmp_path, "<b>&amp;", seed=3)
    page = write_report([FACES / "gcdp-train-s0", run], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<b>" not in page
    drawings = [base64.b64decode(part) for part in re.findall(r"data:image/svg\+xml;base64,([^\"]*)", page)]
    assert any(b"imagen (&lt;b&gt;&amp;amp;)" in drawing for drawing in drawings)


def test_a_layout_of_another_size_is_refused_before_it_is_compared(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(BASELINE, run)
    layout = next(iter(sorted(run.glob("samples/*/layouts/*.png"))))
    Image.fromarray(np.asarray(Image.open(layout))[:-1]).save(layout)
    with pytest.raises(UserError, match="no sample of this run"):
        write_report([run], tmp_path / "r.html", lambda _, images: np.zeros(images.shape[:3], np.uint8))
