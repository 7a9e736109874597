"""What the builder does not look at: pictures, the menu, what is fetched from elsewhere, links of generated pages."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: Pages that the menu need not have: every run has one, and the account of the runs leads to it.
_WITHOUT_MENU = re.compile(r"reports/\d{4}-\d\d-\d\d_[^/]+/README\.md")
#: Attributes that make a browser fetch something at once.
_FETCHED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}


class _Page(HTMLParser):
    """Anchors of a page, where its links lead, and what it fetches."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element is or leads to."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        if tag in _FETCHED and _FETCHED[tag] in given and given.get("rel") != "canonical":
            self.fetched.add(given[_FETCHED[tag]])


def site_faults(site: Path) -> list[str]:
    """Links, anchors and pictures of a built site that lead nowhere, and what it would fetch from a network.

    Pages of runs (``report.html``) are looked at as goals only: they have tests of their own.
    """
    paths = [path for path in site.rglob("*.html") if path.name not in ("report.html", "404.html")]
    pages = {path.relative_to(site).as_posix(): _Page(path.read_text(encoding="utf-8")) for path in sorted(paths)}
    faults = []
    for name, page in pages.items():
        faults += [f"{name} fetches {url}" for url in sorted(page.fetched) if urlsplit(url).netloc]
        for url in sorted(page.links | page.fetched):
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            goal = (
                posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(parts.path))) if parts.path else name
            )
            if not (site / goal).is_file() and goal != ".":
                faults.append(f"{name} leads to {url}, which is not there")
            elif parts.fragment and goal in pages and unquote(parts.fragment) not in pages[goal].anchors:
                faults.append(f"{name} leads to {url}, which has no such anchor")
    return faults


def menu_faults(config: str, places: Iterable[str]) -> list[str]:
    """Entries of the menu without a page, and pages without an entry.

    Args:
        config: the text of ``mkdocs.yml``.
        places: everything that the site is made of.
    """
    menu = re.search(r"^nav:\n((?:[ #].*\n)+)", config, re.MULTILINE)
    entries = set(re.findall(r"[:-] (\S+\.md)$", menu[1] if menu else "", re.MULTILINE))
    pages = {place for place in places if place.endswith(".md")}
    lost = sorted(page for page in pages - entries if not _WITHOUT_MENU.fullmatch(page))
    return [f"the menu names {entry}, which is not there" for entry in sorted(entries - pages)] + [
        f"{page} is not in the menu of docs/mkdocs.yml" for page in lost
    ]
