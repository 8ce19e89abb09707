"""The report: what is written into it, and what a browser makes of it."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from jaxad import metrics
from jaxad._check import InputError
from jaxad.report import page, write_report
from tests.browser import open_browser
from tests.command import run_in_turn
from tests.scored_folder import EVIL_NAMES, THRESHOLD, write_errors, write_folder

pytestmark = pytest.mark.usefixtures("compile_fast")

Edit = Callable[[Path], object]


def embedded(report: Path) -> dict:
    """The data inside a page."""
    found = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', report.read_text(encoding="utf-8"), re.S
    )
    assert len(found) == 1
    return json.loads(found[0])


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as table:
        return list(csv.DictReader(table))


def replaced(name: str, old: str, new: str) -> Edit:
    def edit(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return edit


def run_edit(**changes: object) -> Edit:
    def edit(folder: Path) -> None:
        run = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**run, **changes}))

    return edit


def test_page_holds_every_row_region_and_picture(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "out", missing=[3])
    report = write_report(folder)
    assert report == folder / "report.html"
    data = embedded(report)
    rows = rows_of(folder)
    assert [image["file"] for image in data["images"]] == [row["file"] for row in rows]
    assert [image["calibrated"] for image in data["images"]] == [float(row["calibrated"]) for row in rows]
    assert sum(len(image["regions"]) for image in data["images"]) == sum(row["decision"] == "anomalous" for row in rows)
    pictures = re.findall(r"<i>(.*?)</i>", report.read_text())
    assert len(pictures) == len(rows)
    assert [row for row, picture in enumerate(pictures) if not picture] == [3]
    assert not list(folder.glob(".report*"))


def test_curves_are_those_of_metrics(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "out", count=300)
    curves = embedded(write_report(folder))["curves"]
    labels = [row["defect"] != "good" for row in rows_of(folder)]
    scores = [float(row["calibrated"]) for row in rows_of(folder)]
    assert curves["auroc"] == metrics.auroc(labels, scores)
    assert curves["averagePrecision"] == metrics.average_precision(labels, scores)
    x, y = np.array(curves["roc"]).T
    assert np.trapezoid(y, x) == pytest.approx(curves["auroc"], abs=0.002)
    assert curves["precisionRecall"][0] == [0, 1]
    assert curves["precisionRecall"][-1] == [1, 0.5]


def test_curves_are_thinned_and_keep_their_ends() -> None:
    steps = np.linspace(0, 1, 100_001)
    kept = page._thinned(steps, steps**2)
    assert len(kept) <= 2 / page.CURVE_STEP + 2
    assert (kept[0], kept[-1]) == ([0, 0], [1, 1])
    assert np.diff(np.array(kept), axis=0).max() <= 2 * page.CURVE_STEP


@pytest.mark.parametrize("labelled", [True, False])
def test_curves_need_both_labels(tmp_path: Path, labelled: bool) -> None:
    folder = write_folder(tmp_path / "out", count=1, labelled=labelled)
    assert embedded(write_report(folder))["curves"] is None


def test_names_cannot_leave_their_place(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "out", names=EVIL_NAMES)
    write_errors(folder, [(name, f"reason {name}") for name in EVIL_NAMES])
    report = write_report(folder)
    shown = [name.replace("\udcff", "\\udcff") for name in EVIL_NAMES]
    data = embedded(report)
    assert [image["file"] for image in data["images"]][: len(shown)] == shown
    assert [error["file"] for error in data["errors"]] == shown
    text = report.read_text(encoding="utf-8")
    assert "alert(1)" in text
    assert "<img" not in text
    assert text.count("<script") == text.count("</script>") == 2


def test_data_is_no_template(tmp_path: Path) -> None:
    names = ["<!-- script --> STYLE_HASH", "<!-- pictures --> SCRIPT_HASH"]
    data = embedded(write_report(write_folder(tmp_path / "out", names=names)))
    assert [image["file"] for image in data["images"]][:2] == names


def test_optional_parts_may_be_absent(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "out", labelled=False, missing=range(12))
    (folder / "pictures").rmdir()
    (folder / "run.json").write_text(
        '{"judged_by": "score", "threshold": {"value": 15.0, "rate": NaN}, "new": {"a": [1]}}'
    )
    data = embedded(write_report(folder))
    assert data["errors"] == []
    assert data["run"]["threshold"]["rate"] == "NaN"
    assert data["run"]["new"] == {"a": [1]}


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (shutil.rmtree, ["must be a folder"]),
        (lambda folder: (folder / "results.csv").unlink(), ["results.csv", "missing"]),
        (lambda folder: (folder / "regions.jsonl").unlink(), ["regions.jsonl", "missing"]),
        (lambda folder: (folder / "run.json").unlink(), ["run.json", "missing"]),
        (replaced("results.csv", "calibrated", "clibrated"), ["results.csv", "missing: calibrated"]),
        (replaced("results.csv", ",3.25", ""), ["results.csv, line 2", "fill the columns"]),
        (replaced("results.csv", "test/", '"test/'), ["results.csv", "comma-separated"]),
        (replaced("results.csv", ",3.25", ",soon"), ["results.csv, line 2", "milliseconds", "'soon'"]),
        (replaced("results.csv", "normal", "perhaps"), ["results.csv, line 2", "'perhaps'"]),
        (replaced("results.csv", "normal", "anomalous"), ["results.csv, line 2", "contradicts", str(THRESHOLD)]),
        (lambda folder: write_table_row(folder, calibrated=""), ["results.csv, line 2", "calibrated", "''"]),
        (lambda folder: write_table_row(folder, score="nan"), ["results.csv, line 2", "score", "'nan'"]),
        (replaced("regions.jsonl", "{", ""), ["regions.jsonl, line 1", "JSON"]),
        (replaced("regions.jsonl", '"box": [', '"box": ["x", '), ["regions.jsonl, line 1", '"box"']),
        (replaced("regions.jsonl", '"peak": ', '"peak": NaN, "p": '), ["regions.jsonl, line 1", '"peak"', "NaN"]),
        (replaced("regions.jsonl", "test/", "tset/"), ["regions.jsonl, line 1", "in results.csv", "tset/"]),
        (lambda folder: (folder / "run.json").write_text("[]"), ["run.json", "JSON object"]),
        (run_edit(judged_by="taste"), ["run.json", '"judged_by"', "'taste'"]),
        (run_edit(threshold=2.0), ["run.json", '"threshold"']),
        (run_edit(threshold={"value": float("inf")}), ["run.json", '"value"', "Infinity"]),
        (lambda folder: (folder / "errors.csv").write_text("file\nx\n"), ["errors.csv", "missing: reason"]),
    ],
)
def test_damage_is_one_sentence(tmp_path: Path, edit: Edit, words: list[str]) -> None:
    folder = write_folder(tmp_path / "out")
    edit(folder)
    with pytest.raises(InputError) as caught:
        write_report(folder)
    for word in [*words, "jaxad score"]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (folder / "report.html").exists()


def write_table_row(folder: Path, **changes: str) -> None:
    """Change cells of the first row."""
    rows = rows_of(folder)
    rows[0].update(changes)
    with (folder / "results.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_score_written_in_decimal_may_touch_the_threshold(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "out")
    write_table_row(folder, calibrated=str(THRESHOLD * (1 + 1e-9)))
    assert write_report(folder).exists()


@pytest.mark.slow
def test_command(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "out")

    told, shown, refused = run_in_turn(
        ["report", "out", "--json"], ["report", "out"], ["report", "nowhere"], cwd=tmp_path
    )
    size = (folder / "report.html").stat().st_size
    assert json.loads(told.stdout) == {"report": str(Path("out/report.html")), "bytes": size, "missing": []}
    assert "report.html" in shown.stdout
    assert shown.returncode == 0
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("jaxad: 'nowhere' must be a folder")
    (folder / "pictures" / "000003.jpg").unlink()
    (folder / "pictures" / "000005.jpg").write_bytes(b"")
    (lacking,) = run_in_turn(["report", "out", "--json"], cwd=tmp_path)
    assert lacking.returncode == 3
    gone = [data["file"] for row, data in enumerate(embedded(folder / "report.html")["images"]) if row in (3, 5)]
    assert json.loads(lacking.stdout)["missing"] == gone
    assert (
        f"jaxad: warning: no picture of {gone[0]!r}: pictures/000003.jpg is missing or empty; score" in lacking.stderr
    )
    assert "jaxad: 2 images have no picture in the report" in lacking.stderr


# Colours: WCAG 2.2, 1.4.3 and 1.4.11.

TEXT = [
    *[(ink, back) for ink in ("ink", "quiet") for back in ("page", "panel")],
    ("anomalous-ink", "anomalous-back"),
    ("normal-ink", "normal-back"),
]
SHAPES = [(shape, "panel") for shape in ("good", "defective", "unknown", "accent", "quiet")]


def luminance(colour: str) -> float:
    shares = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(first: str, second: str) -> float:
    low, high = sorted([luminance(first), luminance(second)])
    return (high + 0.05) / (low + 0.05)


def pale(colours: dict[str, str]) -> list[str]:
    """Pairs of colours that are too close."""
    pairs = [*((pair, 4.5) for pair in TEXT), *((pair, 3.0) for pair in SHAPES)]
    return [f"{a} on {b}" for (a, b), least in pairs if contrast(colours[a], colours[b]) < least]


def test_colours_are_readable_in_both_modes() -> None:
    style = resources.files("jaxad.report").joinpath("page.css").read_text()
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in style.split(":root")[1:3])
    assert light.keys() == dark.keys()
    assert (pale(light), pale(dark)) == ([], [])
    assert pale({**dark, "ink": light["ink"]}) == ["ink on page", "ink on panel"]


# In a browser.


class Page:
    """A page in the browser, with the words of its tests."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser = browser

    def open(self, path: Path) -> None:
        self.problems()
        self.browser.get(path.as_uri())

    def find(self, name: str) -> WebElement:
        return self.browser.find_element(By.ID, name)

    def cards(self) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, "#grid .card")

    def names(self) -> list[str]:
        return self.browser.execute_script(
            "return [...document.querySelectorAll('#grid .name')].map((name) => name.textContent)"
        )

    def focused_name(self) -> str:
        return self.browser.switch_to.active_element.find_element(By.CSS_SELECTOR, ".name").text

    def press(self, *keys: str) -> None:
        for key in keys:
            self.browser.switch_to.active_element.send_keys(key)

    def problems(self) -> list[str]:
        """What the console complained of and the network was asked for since the last look."""
        told = [entry["message"] for entry in self.browser.get_log("browser")]
        for entry in self.browser.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            url = message["params"].get("request", {}).get("url", "")
            if message["method"] == "Network.requestWillBeSent" and not url.startswith(("file:", "data:")):
                told.append(f"asked for {url}")
        return told


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    opened = open_browser()
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a report: 150 results, some under names that attack the page, one without its picture."""
    folder = write_folder(tmp_path_factory.mktemp("report") / "out", count=150, names=EVIL_NAMES, missing=[0])
    write_errors(folder, [(name, f"reason {name}") for name in EVIL_NAMES])
    write_report(folder)
    return folder


@pytest.fixture
def shown(browser: webdriver.Chrome, scored: Path) -> Iterator[Page]:
    """The report, opened; at the end of a test nothing may have been complained of or asked for."""
    opened = Page(browser)
    opened.open(scored / "report.html")
    yield opened
    assert opened.problems() == []


@pytest.mark.browser
def test_a_request_and_an_error_would_be_noticed(browser: webdriver.Chrome, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text('<img src="http://127.0.0.1:9/x.png"><script>throw Error("planted")</script>')
    opened = Page(browser)
    opened.open(tmp_path / "bad.html")
    told = opened.problems()
    assert any("asked for http://127.0.0.1:9/x.png" in line for line in told)
    assert any("planted" in line for line in told)


@pytest.mark.browser
@pytest.mark.parametrize("keys", [[], [Keys.ARROW_LEFT] * 25, [Keys.ARROW_RIGHT] * 40, [Keys.HOME], [Keys.END]])
def test_slider_decides_as_python_does(shown: Page, scored: Path, keys: list[str]) -> None:
    shown.find("slider").send_keys(*keys)
    threshold = float(shown.find("threshold").get_attribute("value"))
    assert (threshold == THRESHOLD) == (not keys)
    rows = rows_of(scored)
    decisions = np.array([float(row["calibrated"]) > threshold for row in rows])
    wanted = metrics.confusion([row["defect"] != "good" for row in rows], decisions)
    assert {name: int(shown.find(name).text) for name in ("tp", "fp", "tn", "fn")} == vars(wanted)
    flagged = decisions.sum()
    assert f"150 images · {flagged} anomalous · {150 - flagged} normal · 8 could" in shown.find("totals").text
    if flagged:
        assert f"Precision {wanted.precision:.3f}, recall {wanted.recall:.3f}" in shown.find("verdict").text
    flags = {row["file"]: flag for row, flag in zip(rows, decisions, strict=True)}
    for card in shown.cards()[:60:5]:
        name = card.find_element(By.CSS_SELECTOR, ".name").get_property("textContent")
        assert card.find_element(By.CSS_SELECTOR, ".badge").text == ("anomalous" if flags[name] else "normal")
    shown.find("reset").send_keys(Keys.ENTER)
    assert float(shown.find("threshold").get_attribute("value")) == THRESHOLD


@pytest.mark.browser
def test_threshold_can_be_typed(shown: Page, scored: Path) -> None:
    shown.find("threshold").clear()
    shown.find("threshold").send_keys("1.5")
    flagged = sum(float(row["calibrated"]) > 1.5 for row in rows_of(scored))
    assert shown.find("verdict").text.startswith(f"{flagged} of 150 above 1.5.")


@pytest.mark.browser
def test_filters_search_and_order(shown: Page, scored: Path) -> None:
    rows = rows_of(scored)
    by_score = sorted(rows, key=lambda row: -float(row["calibrated"]))
    assert shown.names()[0] == by_score[0]["file"]
    shown.find("order").send_keys("lowest")
    assert shown.names()[0] == by_score[-1]["file"]

    shown.find("by-decision").send_keys("anomalous")
    anomalous = [row for row in rows if row["decision"] == "anomalous"]
    assert shown.find("shown").text == f"{len(anomalous)} of 150 shown"
    shown.find("by-defect").send_keys("scratch")
    scratched = [row["file"] for row in anomalous if row["defect"] == "scratch"]
    assert sorted(shown.names()) == sorted(scratched)
    shown.find("by-name").send_keys("SCRATCH/img_00")
    assert set(shown.names()) == {name for name in scratched if "scratch/IMG_00" in name}
    shown.find("by-name").send_keys("nowhere")
    assert shown.names() == []
    assert shown.find("shown").text == "0 of 150 shown"


@pytest.mark.browser
def test_arrows_enter_and_escape(shown: Page, scored: Path) -> None:
    order = [row["file"] for row in sorted(rows_of(scored), key=lambda row: -float(row["calibrated"]))]
    columns = len(shown.find("grid").value_of_css_property("grid-template-columns").split())
    shown.find("order").send_keys(Keys.TAB)
    assert shown.focused_name() == order[0]
    shown.press(Keys.ARROW_LEFT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    assert shown.focused_name() == order[1 + columns]
    shown.press(Keys.ARROW_UP, Keys.ENTER)
    assert shown.find("large").is_displayed()
    assert shown.find("large-name").text == order[1]
    assert shown.browser.execute_script("return document.querySelector('#large img').naturalWidth") == 384
    shown.press(Keys.ARROW_RIGHT)
    assert shown.find("large-name").text == order[2]
    shown.press(Keys.ESCAPE)
    assert not shown.find("large").is_displayed()
    WebDriverWait(shown.browser, 10).until(lambda _: shown.focused_name() == order[2])
    shown.press(Keys.END)
    assert shown.focused_name() == order[-1]


@pytest.mark.browser
def test_evil_names_are_text(shown: Page) -> None:
    names = [name.replace("\udcff", "\\udcff") for name in EVIL_NAMES]
    everywhere = "return [...document.querySelectorAll(arguments[0])].map((place) => place.textContent)"
    assert shown.browser.execute_script(everywhere, "#errors td:first-child") == names
    shown.browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert set(names) <= set(shown.names())
    foreign = "return document.querySelectorAll('#broken, [onerror], img:not([src^=\"data:\"])').length"
    assert shown.browser.execute_script(foreign) == 0


@pytest.mark.browser
def test_pictures_are_made_when_they_come_near(shown: Page, scored: Path) -> None:
    assert len(shown.cards()) < 150

    def scrolled_to_the_end(browser: webdriver.Chrome) -> bool:
        browser.execute_script("window.scrollTo(0, document.body.scrollHeight)")
        return len(shown.cards()) == 150

    WebDriverWait(shown.browser, 10).until(scrolled_to_the_end)
    wide = "return [...document.querySelectorAll('#grid img')].filter((picture) => picture.naturalWidth === 384).length"
    WebDriverWait(shown.browser, 10).until(lambda browser: browser.execute_script(wide) == 149)
    strips = [card.find_element(By.CSS_SELECTOR, ".strip").get_property("textContent") for card in shown.cards()]
    assert len([text for text in strips if text.startswith("the picture pictures/")]) == 1


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1600])
def test_nothing_is_cut_off(shown: Page, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    shown.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    shown.browser.execute_script("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    cut = """return [...document.querySelectorAll('body, body *:not(svg *)')].filter((part) =>
        part.scrollWidth > part.clientWidth + 1 && getComputedStyle(part).display !== 'inline' &&
        part.clientWidth).map((part) => part.outerHTML.slice(0, 80))"""
    assert shown.browser.execute_script("return innerWidth") == width
    assert shown.browser.execute_script(cut) == []
    shown.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.browser
def test_controls_and_pictures_have_names(shown: Page) -> None:
    nameless = """return [...document.querySelectorAll('input, select, button, svg[role], img')].filter((part) =>
        !(part.labels?.[0]?.textContent || part.getAttribute('aria-label') || part.alt || part.textContent.trim())
        ).map((part) => part.outerHTML.slice(0, 80))"""
    assert shown.browser.execute_script(nameless) == []
    shown.browser.execute_script("document.querySelector('#grid img').removeAttribute('alt')")
    assert len(shown.browser.execute_script(nameless)) == 1
    assert shown.find("slider").accessible_name == "Threshold"
    assert shown.find("verdict").get_attribute("aria-live") == "polite"


@pytest.mark.browser
@pytest.mark.parametrize(("count", "score"), [(30, "100000.0"), (30, "-5000.0"), (1, "0.0")])
def test_slider_spans_all_scores(browser: webdriver.Chrome, tmp_path: Path, count: int, score: str) -> None:
    folder = write_folder(tmp_path / "out", count=count)
    write_table_row(folder, calibrated=score, decision="anomalous" if float(score) > THRESHOLD else "normal")
    opened = Page(browser)
    opened.open(write_report(folder))
    slider = opened.find("slider")
    slider.send_keys(Keys.HOME)
    assert opened.find("verdict").text.startswith(f"{count} of {count} above")
    slider.send_keys(Keys.END)
    assert opened.find("verdict").text.startswith(f"0 of {count} above")
    # It is drawn when its size is known, with the first picture of the page.
    WebDriverWait(opened.browser, 10).until(lambda browser: browser.find_elements(By.CSS_SELECTOR, "#histogram .mark"))
    ticks = opened.browser.execute_script(
        "return [...document.querySelectorAll('#histogram text[text-anchor]')].map((tick) => tick.textContent)"
    )
    assert 2 <= len(set(ticks)) == len(ticks) <= 12
    assert opened.problems() == []


@pytest.mark.browser
def test_page_without_images_opens(browser: webdriver.Chrome, tmp_path: Path) -> None:
    opened = Page(browser)
    opened.open(write_report(write_folder(tmp_path / "out", count=0)))
    assert opened.find("totals").text.startswith("0 images")
    assert opened.find("shown").text == "No image to show"
    assert not opened.find("labels").is_displayed()
    assert opened.problems() == []
