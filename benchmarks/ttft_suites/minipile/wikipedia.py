"""``wikipedia``: articles of a MediaWiki dump as plain prose, cut into passages at paragraph ends.

The group is the article.
"""

from __future__ import annotations

import bz2
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from ttft_bench.corpus.documents import Document
from ttft_bench.corpus.passages import passages
from ttft_suites.minipile.mediawiki import prose

LEAST, TARGET, MOST = 300, 1000, 3000

_ARTICLES = "0"


def read(folder: Path) -> Iterator[Document]:
    """Passages of every article of the dump below ``folder``; redirects and lists hold no prose."""
    for dump in sorted(folder.glob("*.bz2")):
        with bz2.open(dump) as stream:
            for title, markup in _pages(ElementTree.iterparse(stream)):
                for passage in passages(prose(markup), least=LEAST, target=TARGET, most=MOST):
                    if len(passage) >= LEAST:
                        yield Document(passage, "wikipedia", title)


def _pages(events: Iterator[tuple[str, ElementTree.Element]]) -> Iterator[tuple[str, str]]:
    for _, element in events:
        if element.tag.rpartition("}")[2] == "page":
            if element.findtext("{*}ns") == _ARTICLES and element.find("{*}redirect") is None:
                yield element.findtext("{*}title") or "", element.findtext("{*}revision/{*}text") or ""
            element.clear()


__all__ = ["read"]
