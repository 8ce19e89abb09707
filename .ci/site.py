"""Hooks of mkdocs: what pages link to outside of docs/ becomes part of the site, so links hold here and on a code host.

A linked Markdown file becomes a page, any other text file a page that shows it, and a picture or JSON file is copied.
A link to a folder of `jaxad` leads to the reference of that room.
"""

import json
import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(\]\()([^()#\s]+)")
COPIED = {".png", ".json"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave the menu of versions to what mike builds: alone, a site would ask for a list that is not there."""
    if "MIKE_DOCS_VERSION" not in os.environ:
        config.extra.pop("version", None)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every file outside of docs/ that a page links to, and what that one links to in turn."""
    waiting = [ROOT / "docs" / file.src_uri for file in files.documentation_pages()]
    waiting += [ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/NOTES.md")]
    while waiting:
        path = waiting.pop()
        uri = _uri(path)
        if not path.is_relative_to(ROOT / "docs") and files.get_file_from_path(uri) is None:
            files.append(_generated(path, uri, config))
        if path.suffix == ".md":
            waiting += [linked for _, linked in _outside(path) if files.get_file_from_path(_uri(linked)) is None]
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to files outside of docs/ lead to their pages."""
    source = getattr(page.file, "repository_path", None) or ROOT / "docs" / page.file.src_uri
    outside = dict(_outside(source)) if source.exists() else {}

    def moved(match: re.Match[str]) -> str:
        if match[2] not in outside:
            return match[0]
        return match[1] + os.path.relpath(_uri(outside[match[2]]), PurePosixPath(page.file.src_uri).parent)

    return LINK.sub(moved, markdown)


def _outside(source: Path) -> list[tuple[str, Path]]:
    """The links of a page that need another address on the site, with the files that they name."""
    found = []
    for _, link in LINK.findall(source.read_text()):
        path = Path(os.path.normpath(source.parent / link))
        inside = source.is_relative_to(ROOT / "docs") and path.is_relative_to(ROOT / "docs")
        if "://" not in link and not inside and path.is_relative_to(ROOT) and path.exists():
            found.append((link, path))
    return found


def _uri(path: Path) -> str:
    """Where a file of the repository lies among the sources of the site."""
    if path.is_relative_to(ROOT / "docs"):
        return path.relative_to(ROOT / "docs").as_posix()
    if path.is_relative_to(ROOT / "jaxad"):
        return f"reference/{path.relative_to(ROOT / 'jaxad').parts[0].removesuffix('.py')}.md"
    if path.name == "README.md":
        return "index.md"
    inside = path.relative_to(ROOT).as_posix()
    return inside if path.suffix in {".md", *COPIED} else f"{inside}.md"


def _generated(path: Path, uri: str, config: MkDocsConfig) -> File:
    if path.suffix in COPIED:
        return File.generated(config, uri, abs_src_path=str(path))
    text = path.read_text()
    if path.suffix == ".ipynb":
        text = _notebook(text)
    elif path.suffix != ".md":
        text = f"# {path.relative_to(ROOT)}\n\n````{path.suffix[1:]}\n{text}````\n"
    made = File.generated(config, uri, content=text)
    made.repository_path = path if path.suffix == ".md" else None
    return made


def _notebook(text: str) -> str:
    """The cells of a notebook, which is kept without outputs."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    return "\n\n".join(source if kind == "markdown" else f"```python\n{source}\n```" for kind, source in cells) + "\n"
