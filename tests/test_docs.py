"""The pages under docs/: all are in the site's menu, and their links lead somewhere."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MENU = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1]
ENTRIES = re.findall(r"(\S+\.md)$", MENU, flags=re.MULTILINE)
MADE = ("index.md", "contributing.md", "changelog.md", "from_zip.md", "results/index.md")
"""Pages that docs/site/hooks.py makes of files elsewhere."""


def test_every_page_is_in_the_menu_once():
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    results = {path.relative_to(ROOT).as_posix() for path in (ROOT / "results").rglob("*.md")}
    # results/compare/ is where the README's first command writes; git ignores it.
    pages |= {page for page in results if not page.startswith("results/compare/")}
    assert len(ENTRIES) == len(set(ENTRIES))
    listings = {entry for entry in ENTRIES if entry.startswith("results/") and "index" in entry}
    assert set(ENTRIES) == pages | set(MADE) | listings


def test_links_lead_to_files():
    for page in (*DOCS.glob("*.md"), ROOT / "CONTRIBUTING.md"):
        text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(((?!http)[^)#\s]+)", text):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_ci_builds_the_site_with_what_the_extra_names():
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    stages = [word for line in lines if line.startswith("make ") for word in line.split()]
    assert "docs" in stages
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split("[<>=]", name)[0] for name in project["optional-dependencies"]["docs"]]
    assert names == ["mkdocs", "mkdocs-material"]
