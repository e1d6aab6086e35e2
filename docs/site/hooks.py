"""What MkDocs adds to docs/: pages that lie outside of it, and links between all of them."""

import logging
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
LOG = logging.getLogger("mkdocs.hooks")

TOP_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "examples/README.md": "from_zip.md",
}
"""Page by the file of the repository that it is made from."""

SHOWN = (".md", ".png", ".svg", ".csv", ".html")
"""Suffixes of the files under results/ that the site has."""

LINK = re.compile(r"(\]\()([^)\s]+)(\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in docs/."""
    for name, page in TOP_PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / name)))
    results = ROOT / "results"
    for path in sorted(results.rglob("*")):
        if path.suffix in SHOWN:
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    for folder in [results, *sorted(path for path in results.rglob("*") if path.is_dir())]:
        pages = sorted(folder.rglob("*.md"))
        if len(pages) > 1 and not (folder / "README.md").exists():
            name = f"{folder.relative_to(ROOT).as_posix()}/index.md"
            files.append(File.generated(config, name, content=_listing(folder, pages)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to pages of the site, where in the repository they lead to files."""
    own = page.file.src_uri
    place = posixpath.dirname(_source(own))

    def rewritten(match: re.Match[str]) -> str:
        target, _, anchor = match[2].partition("#")
        if not target or ":" in target:
            return match[0]
        there = _page(posixpath.normpath(posixpath.join(place, target)), files)
        if there is None:
            LOG.warning("%s: the link to %s leads to nothing that the site has", own, target)
            return match[0]
        link = posixpath.relpath(there, posixpath.dirname(own) or ".")
        return f"{match[1]}{link}{'#' + anchor if anchor else ''}{match[3]}"

    if own.startswith("results/"):
        markdown += _figures(ROOT / _source(own))
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else LINK.sub(rewritten, part) for part in parts)


def _figures(path: Path) -> str:
    """Show the pictures beside a page of results, and those in folders that have no page."""
    if not path.exists():  # a listing
        return ""
    folder = path.parent
    with_pages = {page.parent for page in folder.rglob("*.md")} - {folder}
    pictures = [
        picture.relative_to(folder).as_posix()
        for picture in sorted(folder.rglob("*.png"))
        if not with_pages.intersection(picture.parents)
    ]
    lines = [f"`{name}`\n\n![{name}]({name})\n" for name in pictures]
    return "\n".join(["\n\n## Figures\n", *lines]) if lines else ""


def _source(page: str) -> str:
    """Return a page's place in the repository."""
    for name, top in TOP_PAGES.items():
        if page == top:
            return name
    return page if page.startswith("results/") else f"docs/{page}"


def _page(name: str, files: Files) -> str | None:
    """Find the page that a file or folder of the repository is shown as; None if there is none."""
    name = TOP_PAGES.get(name, name.removeprefix("docs/"))
    candidates = (name, f"{name}/README.md", f"{name}/index.md")
    return next((each for each in candidates if files.get_file_from_path(each)), None)


def _listing(folder: Path, pages: list[Path]) -> str:
    """Write a page that lists those below a folder, each with its first heading."""
    lines = (
        f"- [{_heading(path)}]({path.relative_to(folder).as_posix()}): "
        f"`{path.parent.relative_to(ROOT).as_posix()}`"
        for path in pages
    )
    title = folder.name.replace("_", " ").capitalize()
    text = "Written by the commands that each page names, and never edited by hand."
    return "\n".join([f"# {title}", "", text, "", *lines, ""])


def _heading(path: Path) -> str:
    return next(_headings(path.read_text(encoding="utf-8")), path.stem)


def _headings(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.startswith("# "):
            yield line.removeprefix("# ").strip()
