"""The HTML report: whole without a network, everything of a record escaped, layouts exact, refused input named."""

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcbench.core.errors import UserError
from gcbench.reports.html_report import _sign, write_report, write_site

BASELINE = Path(str(files("gcbench.results"))) / "measured" / "regression" / "streets"
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)


class Page(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The report of the bundled baseline."""
    return Page(write_report([BASELINE], tmp_path_factory.mktemp("plain") / "r.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run whose model and texts are markup."""
    run = tmp_path_factory.mktemp("hostile") / "run"
    shutil.copytree(BASELINE, run)
    record = json.loads((run / "record.json").read_text(encoding="utf-8"))
    record["model"]["name"] = "<script>alert(1)</script>"
    for point in record["points"]:
        for score in point["scores"].values():
            for key, value in score["detail"].items():
                if isinstance(value, dict) and "class" in key:
                    score["detail"][key] = {f"<script>{name}": share for name, share in value.items()}
    (run / "record.json").write_text(json.dumps(record), encoding="utf-8")
    table = run / "per_sample.csv"
    text = table.read_text(encoding="utf-8").replace(
        "An image", "</p><script>alert(2)</script><img src=x onerror=y> An"
    )
    table.write_text(text, encoding="utf-8")
    return write_report([run], run.parent / "r.html")


def test_what_comes_from_a_record_is_text(hostile: Path) -> None:
    text = hostile.read_text(encoding="utf-8")
    assert len(re.findall(r"<script\b", text)) == 1  # the page's own
    assert "&lt;script&gt;alert(1)" in text
    assert "&lt;script&gt;alert(2)" in text
    assert not [name for _, attributes in Page(text).tags for name in attributes if name.startswith("on")]


def test_nothing_is_read_from_elsewhere(page: Page) -> None:
    sources = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href")]
    assert sources
    assert all(value is not None and value.startswith("data:") for value in sources)


def test_layouts_are_exact(page: Page) -> None:
    uris = [attributes["src"] for tag, attributes in page.tags if tag == "img" and attributes.get("alt") == "layout"]
    folder = BASELINE / "samples" / "guidance-4" / "layouts"
    stored = [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]
    assert len(uris) == len(stored)
    for uri, ids in zip(uris, stored, strict=True):
        shown = Image.open(io.BytesIO(base64.b64decode(str(uri).partition(",")[2])))
        np.testing.assert_array_equal(np.asarray(shown), ids)


def test_without_kept_samples_it_says_how_to_keep_them(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(BASELINE, run, ignore=shutil.ignore_patterns("samples"))
    page = write_report([run], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "--keep-samples" in page
    assert 'class="card"' not in page


def test_what_is_not_comparable_is_named(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(BASELINE, run)
    record = json.loads((run / "record.json").read_text(encoding="utf-8"))
    record["protocol"]["split"] = "elsewhere"
    (run / "record.json").write_text(json.dumps(record), encoding="utf-8")
    page = write_report([BASELINE, run], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "split: &#39;val&#39; against &#39;elsewhere&#39;" in page


def test_a_run_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        write_report([tmp_path / "absent"], tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed")
def test_a_browser_shows_it_without_errors(hostile: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as drive:
        browser = drive.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 360, "height": 800})
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.goto(hostile.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.locator("#order").focus()
        page.keyboard.press("ArrowDown")
        means = page.eval_on_selector_all(".card", "all => all.map(c => JSON.parse(c.dataset.means)[0])")
        assert means == sorted(means)
        named = page.locator("#named option").nth(1).get_attribute("value")
        page.select_option("#named", named)
        listed = page.eval_on_selector_all(".card", "all => all.map(c => JSON.parse(c.dataset.classes))")
        assert listed
        assert all(named in classes for classes in listed)
        browser.close()
    assert said == []


def test_only_a_report_is_written_over(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(BASELINE, run)
    before = (run / "record.json").read_bytes()
    with pytest.raises(UserError, match="is there and no report of gcbench; choose another name"):
        write_report([run], run / "record.json")
    assert (run / "record.json").read_bytes() == before
    out = write_report([run], tmp_path / "r.html")
    assert write_report([run], out).read_bytes() == out.read_bytes()
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<!doctype html>mine")
    with pytest.raises(UserError, match=r"index\.html is there and no report"):
        write_site(tmp_path / "site")


def test_a_kept_layout_of_a_class_that_is_none_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(BASELINE, run)
    layout = next(path for path in sorted(run.rglob("*.png")) if path.parent.name == "layouts")
    ids = np.array(Image.open(layout))
    ids[3, 5] = 77
    Image.fromarray(ids).save(layout)
    with pytest.raises(UserError, match=f"{layout.name} has class 77, and streets has 20 classes"):
        write_report([run], tmp_path / "r.html")


def test_worst_comes_first_by_the_direction_of_the_metric(page: Page) -> None:
    """A sign of 1 sorts upwards: the lowest recall is the worst. Of a distance the highest is."""
    signs = {facts["data-sign"] for tag, facts in page.tags if tag == "option" and "data-sign" in facts}
    assert signs == {"1"}  # recall, precision and their kind
    assert (_sign("fd"), _sign("semantic-recall"), _sign("no such metric")) == (-1, 1, 1)


def test_images_hold_their_place_and_are_printed(page: Page) -> None:
    assert not [facts for tag, facts in page.tags if tag == "img" and facts.get("loading") == "lazy"]
