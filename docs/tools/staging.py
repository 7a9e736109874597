"""Lay the site out in a folder: pages, documents of the repository at their places, and the figures that they show.

Pages lie in ``docs/pages`` and link to the repository as they would on a code host, ``../../reports/README.md``. In the
site, a page of ``docs/pages`` is at the top, and what else the repository has keeps its place: ``reports/README.md``
becomes ``reports/index.html``. So every link is right in both.
"""

from __future__ import annotations

import posixpath
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = "docs/pages"

#: What the site takes from the repository: documents, and what they show or offer.
TAKEN = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/*.md",
    "docs/*.md",
    "reports/*.md",
    "reports/*/README.md",
    "reports/*/figures/*.png",
    "reports/*/report.html",
    "reports/peers_selection/*.svg",
    "strategies/README.md",
)

_FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1[ \t]*$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def sources() -> dict[str, Path]:
    """Place in the site -> file of the repository."""
    found = {path.relative_to(ROOT / PAGES).as_posix(): path for path in (ROOT / PAGES).rglob("*") if path.is_file()}
    for pattern in TAKEN:
        found |= {path.relative_to(ROOT).as_posix(): path for path in ROOT.glob(pattern)}
    return dict(sorted(found.items()))


def stage(folder: Path) -> None:
    """Lay everything out."""
    there = sources()
    for place, source in there.items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".md":
            target.write_text(mended(source.read_text(encoding="utf-8"), place, there), encoding="utf-8")
        else:
            shutil.copyfile(source, target)


def mended(markdown: str, place: str, there: dict[str, Path]) -> str:
    """Make links that are right in the repository right in the site.

    Args:
        markdown: the text of a page.
        place: where it stands in the site.
        there: everything that the site has.
    """
    folder = posixpath.dirname(there[place].relative_to(ROOT).as_posix())

    def mend(found: re.Match[str]) -> str:
        picture, text, link = found.groups()
        path, hash_, anchor = link.partition("#")
        if not path or ":" in path:
            return found[0]
        target = posixpath.normpath(posixpath.join(folder, path))
        goal = target.removeprefix(f"{PAGES}/")
        if goal in there:
            return f"{picture}[{text}]({posixpath.relpath(goal, posixpath.dirname(place) or '.')}{hash_}{anchor})"
        if not picture and (ROOT / target).exists():  # a file of the code: named, and not in the site
            return text
        return found[0]  # the build says that it leads nowhere

    return "".join(part if fenced else _LINK.sub(mend, part) for part, fenced in _parts(markdown))


def _parts(markdown: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, and whether each is a fenced block."""
    end = 0
    for fence in _FENCE.finditer(markdown):
        yield markdown[end : fence.start()], False
        yield fence[0], True
        end = fence.end()
    yield markdown[end:], False
