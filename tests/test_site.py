"""The documentation site: it builds strictly without a network, its reference is whole, and a browser shows it."""

import ast
import contextlib
import functools
import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser import open_browser
from tests.run_page import runnable

ROOT = Path(__file__).resolve().parent.parent
ROOMS = sorted(path.stem for path in (ROOT / "docs" / "reference").glob("*.md") if path.stem != "index")
BETWEEN_ROOMS = {
    "backbones": {"make_backbone"},
    "convert": {"Kind", "Row"},
    "datasets": {"doubt_near_copies"},
    "detector": {
        *("Found", "Names", "PART", "Scored", "Shot", "each_left_out", "example_of", "flat", "from_contents"),
        *(
            "naming",
            "need_sound",
            "on_devices",
            "pool_anew",
            "pooled",
            "score_shapes",
            "score_shots",
            "start_shapes",
            "template",
        ),
    },
    "fitting": {"derived"},
    "heatmaps": {"ScoreWindows"},
    "metrics": {"Curve"},
    "models": {"Rest"},
    "patches": {"fold_axis", "map_tiles"},
    "pipeline": {
        *("Seen", "admit", "area_of", "brought_back", "judge", "judged_anew", "look", "looked_at", "usual_at")
    },
    "recipes": {"ConvertedLayers", "Scores", "Shape", "Variables", "name_settings", "need_types"},
    "results": {"Output", "Result", "UnwrittenError", "kept_at"},
    "training": {"make_epoch"},
}
"""Public names without an example: type aliases, and what one room of jaxad hands another."""


def public_names(room: str) -> set[str]:
    """What a room lists in `__all__`, else what it defines."""
    file = ROOT / "jaxad" / f"{room}.py"
    file = file if file.exists() else ROOT / "jaxad" / room / "__init__.py"
    stub = file.with_suffix(".pyi")
    tree = ast.parse((stub if stub.exists() else file).read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    kinds = ast.FunctionDef | ast.ClassDef
    return {node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")}


def without_example(room: str, page: str) -> set[str]:
    """Public names that stand neither in the code of the page nor above a doctest of their own."""
    used = set()
    for block in runnable(page):
        for node in ast.walk(ast.parse(block.text if block.language == "python" else "")):
            used |= {getattr(node, "id", None), getattr(node, "attr", None)}
            used |= {alias.name for alias in getattr(node, "names", []) if isinstance(alias, ast.alias)}
    tested = set()
    for file in (ROOT / "jaxad").glob(f"{room}*/**/*.py" if (ROOT / "jaxad" / room).is_dir() else f"{room}.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and ">>>" in (ast.get_docstring(node) or ""):
                tested.add(node.name)
    return public_names(room) - tested - used


def test_every_room_has_a_page() -> None:
    stub = ast.parse((ROOT / "jaxad" / "__init__.pyi").read_text())
    imported = [node for node in stub.body if isinstance(node, ast.ImportFrom) and node.module is None]
    assert sorted(alias.name for node in imported for alias in node.names) == ROOMS


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_has_an_example(room: str) -> None:
    page = (ROOT / "docs" / "reference" / f"{room}.md").read_text()
    assert f"::: jaxad.{room}\n" in page
    assert without_example(room, page) == BETWEEN_ROOMS.get(room, set())


def test_a_name_without_example_is_noticed() -> None:
    assert "extract" in without_example("patches", "# jaxad.patches\n\n```python\nfold\n```\n")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `.ci/run` does."""
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=_quiet(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def _quiet() -> dict[str, str]:
    return {**os.environ, "NO_MKDOCS_2_WARNING": "1"}


@pytest.mark.slow
def test_the_reference_shows_every_public_name(site: Path) -> None:
    shown = {room: (site / "reference" / f"{room}.html").read_text() for room in ROOMS}
    top = (site / "reference" / "index.html").read_text()
    missing = {
        f"{room}.{name}"
        for room in ROOMS
        for name in public_names(room)
        if not re.search(rf'id="jaxad\.{room}(\.\w+)*\.{name}"', shown[room])
    }
    assert missing == set()
    stub = ast.parse((ROOT / "jaxad" / "__init__.pyi").read_text())
    names = [alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert [name for name in names if f"{name}</" not in top] == []


@pytest.mark.slow
def test_nothing_comes_from_elsewhere(site: Path) -> None:
    loaded = re.compile(
        r'<(?:script|img|link rel="(?:stylesheet|preconnect|icon)")[^>]*(?:src|href)="?(https?:[^" >]+)'
    )
    assert {url for page in site.rglob("*.html") for url in loaded.findall(page.read_text())} == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("was", "is_now"), [("](recipes.md)", "](nowhere.md)"), ("(examples.md#methods)", "(examples.md#nothing)")]
)
def test_a_broken_link_fails_the_build(tmp_path: Path, was: str, is_now: str) -> None:
    pytest.importorskip("mkdocs")
    for name in ("docs", "jaxad", ".ci", "benchmarks", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("CONTRIBUTING.md", "CHANGELOG.md", "README.md", "mkdocs.yml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "docs").unlink()
    (tmp_path / ".ci").unlink()
    subprocess.run(["cp", "-r", str(ROOT / "docs"), str(ROOT / ".ci"), str(tmp_path)], check=True)
    changed = [path for path in (tmp_path / "docs").glob("*.md") if was in path.read_text()]
    changed[0].write_text(changed[0].read_text().replace(was, is_now))
    command = [sys.executable, "-m", "mkdocs", "build", "-d", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=tmp_path, env=_quiet(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nowhere.md" in done.stderr or "#nothing" in done.stderr


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    handler = functools.partial(_Silent, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of requests."""

    def copyfile(self, *args: object) -> None:
        """A browser that leaves early is no problem."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            super().copyfile(*args)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    opened = open_browser()
    yield opened
    opened.quit()


def show(browser: webdriver.Chrome, *, width: int, dark: bool) -> None:
    """The size and the colours that the reader's system asks for."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})


PAGES = ("index", "inspector", "recipes", "systems/patch_vae", "benchmarks", "reference/heatmaps", "reliability")


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_a_page_fits_and_has_its_colours(
    browser: webdriver.Chrome, address: str, page: str, width: int, dark: bool
) -> None:
    show(browser, width=width, dark=dark)
    browser.get_log("browser")
    browser.get(f"{address}/{page}.html")
    scheme, wide, brightness, pictures = browser.execute_script(
        """const page = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
        const broken = [...document.images].filter((image) => image.complete && !image.naturalWidth);
        return [document.body.dataset.mdColorScheme, document.documentElement.scrollWidth,
                Math.max(...page.slice(0, 3)), broken.map((image) => image.src)]"""
    )
    assert scheme == ("slate" if dark else "default")
    assert (brightness < 100) is dark
    assert wide <= width
    assert pictures == []
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    if folder := os.environ.get("JAXAD_SCREENSHOTS"):
        name = f"{page.replace('/', '_')}_{width}_{'dark' if dark else 'light'}.png"
        browser.save_screenshot(str(Path(folder) / name))


@pytest.mark.browser
@pytest.mark.slow
def test_search_finds_the_memory_bank(browser: webdriver.Chrome, address: str) -> None:
    show(browser, width=1280, dark=False)
    browser.get(f"{address}/index.html")
    browser.execute_script("document.querySelector('[data-md-toggle=search]').click()")
    field = WebDriverWait(browser, 20).until(lambda found: found.find_element(By.CSS_SELECTOR, ".md-search__input"))
    WebDriverWait(browser, 20).until(lambda _: field.is_displayed())
    field.send_keys("memory bank")
    links = WebDriverWait(browser, 20).until(
        lambda found: [
            link.get_attribute("href") for link in found.find_elements(By.CSS_SELECTOR, ".md-search-result__link")
        ]
    )
    assert any("memory_bank" in link or "glossary" in link for link in links)
