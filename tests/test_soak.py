"""Photographs of as many sizes through the command line, with damaged, huge, odd and doubled ones among them.

By hand with more of them: `python -m benchmarks.soak`.
"""

import sys

import pytest

from tests import fast_compilation
from tests.soak_folder import write_folder
from tests.soak_run import soak

RECIPES = {"surface-gradients": (120, False, ()), "patch-components": (100, True, ("crops=5000",))}
"""How many photographs each is tried on, whether huge ones are among them, and its settings."""
PROGRAMS = 20
"""Compiled by one command at most, single operations included."""
PROGRAMS_OF_FIT = 100
"""Nine in ten are single operations of a closed form, whatever the photographs are."""
MEBIBYTES = 1500
"""Resident at most; 400 of them are the libraries."""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")]


@pytest.mark.parametrize("recipe", RECIPES)
def test_many_sizes_and_all_that_lies_about(recipe, tmp_path, monkeypatch):
    for name, value in fast_compilation.environment().items():
        monkeypatch.setenv(name, value)
    count, huge, settings = RECIPES[recipe]
    folder = write_folder(tmp_path / "photographs", count=count, huge=huge)
    seen = soak(folder, tmp_path, recipe=recipe, settings=settings)
    assert seen.problems == []
    programs = {name: ran.programs for name, ran in seen.commands.items()}
    assert programs.pop("fit") <= PROGRAMS_OF_FIT
    assert max(programs.values()) <= PROGRAMS, programs
    assert {name: ran.mebibytes for name, ran in seen.commands.items() if ran.mebibytes > MEBIBYTES} == {}
