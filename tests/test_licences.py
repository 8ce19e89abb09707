"""Every package that jaxad asks for is listed with its licence, and declares that licence itself."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"\| (\S+) \| (.+?) \| (everybody|tests|development|\w+) \|")
LISTED = {name: licence for name, licence, _ in ROW.findall((ROOT / "docs" / "licences.md").read_text())}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ASKED = [*PROJECT["dependencies"], *(d for group in PROJECT["optional-dependencies"].values() for d in group)]
NAMES = {re.match(r"[\w.-]+", text)[0] for text in ASKED} - {"jaxad"}


def declared(name):
    """All that a package says of its licence."""
    found = importlib.metadata.metadata(name)
    classifiers = [text for text in found.get_all("Classifier", []) if text.startswith("License")]
    files = [file for file in importlib.metadata.files(name) or [] if file.name.startswith("LICENSE")]
    texts = [file.read_text()[:200] for file in files[:1]]
    return " ".join([found.get("License-Expression") or "", (found.get("License") or "")[:200], *classifiers, *texts])


def test_every_dependency_is_listed():
    assert set(LISTED) == NAMES


@pytest.mark.parametrize("name", sorted(LISTED))
def test_the_listed_licence_is_the_declared_one(name):
    family = re.match(r"[A-Za-z]+", LISTED[name])[0]
    try:
        assert family in declared(name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed here")
