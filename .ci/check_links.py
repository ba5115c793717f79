"""Check the built documentation: links, anchors, and that a page opens without a network.

    python .ci/check_links.py docs/_build/html README.md CONTRIBUTING.md SECURITY.md CHANGELOG.md

Of HTML pages every link to another page and every anchor must exist, and no script, style, picture
or font may come from another machine. In `_modules`, the pages of the source, only the files must
exist: Sphinx names the anchors there wrongly where one module is documented under two names. Of
Markdown files outside the documentation the paths of relative links must exist. Links to other
sites are not followed: Sphinx does so on demand
(`python -m sphinx -b linkcheck docs docs/_build/linkcheck`).
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {
    *(("script", "src"), ("img", "src"), ("iframe", "src")),
    *(("source", "src"), ("object", "data")),
}
_LOADED_BY_STYLE = re.compile(r"(url\(|@import)\s*[\"']?(https?:)?//")
_MARKDOWN_LINK = re.compile(r"\]\(([^)\s]+)\)")


class Page(HTMLParser):
    """Anchors, links and loaded addresses of one page."""

    def __init__(self, path: Path):
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what one element refers to."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and values.get("rel") in ("stylesheet", "preload", "icon"):
            self.loaded.append(values["href"])
        self.loaded += [values[name] for kind, name in _LOADED if tag == kind and name in values]


def check_html(folder: Path) -> list[str]:
    """Return one line for each fault of the pages of a folder."""
    pages = {path.resolve(): Page(path) for path in sorted(folder.rglob("*.html"))}
    if not pages:
        return [f"{folder}: no HTML page. Build the documentation first."]
    faults = []
    for path, page in pages.items():
        name = path.relative_to(folder.resolve())
        faults += [
            f"{name}: loads {address} from another machine"
            for address in page.loaded
            if urlsplit(address).netloc
        ]
        for link in page.links:
            fault = _fault(path, link, pages)
            if fault and not ("anchor" in fault and name.parts[0] == "_modules"):
                faults.append(f"{name}: {link}: {fault}")
    return faults + [
        f"{path.relative_to(folder)}: loads something from another machine"
        for path in sorted(folder.rglob("*.css"))
        if _LOADED_BY_STYLE.search(path.read_text(encoding="utf-8"))
    ]


def _fault(source: Path, link: str, pages: dict[Path, Page]) -> str:
    """Return what is wrong with a link; an empty text if nothing is."""
    address = urlsplit(link)
    if address.scheme or address.netloc:
        return ""
    target = (source.parent / unquote(address.path)).resolve() if address.path else source
    if not target.exists():
        return "no such file"
    anchor = unquote(address.fragment)
    known = anchor in pages[target].anchors if target in pages else True
    return "" if known or not anchor else "no such anchor"


def check_markdown(path: Path) -> list[str]:
    """Return one line for each relative link of a file whose target does not exist."""
    links = _MARKDOWN_LINK.findall(path.read_text(encoding="utf-8"))
    addresses = [urlsplit(link) for link in links]
    local = [address.path for address in addresses if address.path and not address.scheme]
    return [f"{path}: {link}: no such file" for link in local if not (path.parent / link).exists()]


def main(arguments: list[str]) -> int:
    """Print the faults; the status is 1 if there are any."""
    paths = [Path(argument) for argument in arguments]
    faults = [
        fault
        for path in paths
        for fault in (check_html(path) if path.is_dir() else check_markdown(path))
    ]
    print(*faults, f"{len(faults)} broken links", sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
