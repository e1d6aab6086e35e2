"""The page of licences: every dependency once, and as the package says itself."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (?!package|---)(\S+) \| ([^|]+) \| [^|]+ \|$", PAGE, flags=re.MULTILINE)
LICENCES = dict(ROWS)


def declared():
    """List the packages that pyproject.toml names, for whatever use."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = settings["project"]
    uses = [
        *(settings["build-system"]["requires"], project["dependencies"]),
        *project["optional-dependencies"].values(),
    ]
    return {re.split("[^a-z0-9-]", name)[0] for names in uses for name in names}


def test_every_dependency_has_its_row_and_no_other_package():
    assert set(LICENCES) == declared()
    assert len(LICENCES) == len(ROWS), "a package has two rows"


@pytest.mark.parametrize("name", LICENCES)
def test_the_licence_is_the_one_that_the_package_states(name):
    try:
        stated = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed")
    fields = ("License-Expression", "License", "Classifier")
    text = " ".join(value for field in fields for value in stated.get_all(field) or [])
    # Packages write one licence in many ways; its family's name is in all of them.
    family = re.match("Python Software Foundation|[A-Za-z]+", LICENCES[name])
    assert family and family[0] in text, text
