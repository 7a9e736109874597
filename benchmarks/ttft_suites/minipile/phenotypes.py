"""``phenotypes``: entries of the Human Phenotype Ontology, the children of one term to a document.

An entry (name, definition, comment, synonyms) is a line or two, so a document lists the entries below one
parent. Each entry stands under its first parent only: no text appears twice. The group is the branch two
levels below "Phenotypic abnormality" (an organ system's first division), so that sisters do not leak.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ttft_bench.corpus.documents import Document

LEAST, TARGET, MOST = 300, 1000, 3000

#: Depth of the branch that is the group; the root "All" has depth 0.
_BRANCH_DEPTH = 3

_QUOTED = re.compile(r'^"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class _Term:
    id: str
    name: str
    parent: str
    entry: str


def read(folder: Path) -> Iterator[Document]:
    """One document, or several, for each term with children."""
    terms = {term.id: term for term in _terms((folder / "hp.obo").read_text("utf-8"))}
    children: dict[str, list[_Term]] = defaultdict(list)
    for term in terms.values():
        if term.parent in terms:
            children[term.parent].append(term)
    for parent, members in children.items():
        for text in _documents(terms[parent].name, [member.entry for member in members]):
            yield Document(text, "phenotypes", _branch(terms[parent], terms))


def _terms(text: str) -> Iterator[_Term]:
    for block in text.split("\n\n"):
        if not block.startswith("[Term]") or "\nis_obsolete: true" in block:
            continue
        values: dict[str, list[str]] = defaultdict(list)
        for line in block.split("\n")[1:]:
            key, _, value = line.partition(": ")
            values[key].append(value)
        parent = values["is_a"][0].split(" ! ")[0] if values["is_a"] else ""
        yield _Term(values["id"][0], values["name"][0], parent, _entry(values))


def _entry(values: dict[str, list[str]]) -> str:
    synonyms = dict.fromkeys(filter(None, map(_quoted, values["synonym"])))
    synonyms.pop(values["name"][0], None)
    parts = [
        f"{values['name'][0]}.",
        *map(_quoted, values["def"]),
        *(_unescape(comment) for comment in values["comment"]),
        f"Also called: {'; '.join(synonyms)}." if synonyms else "",
    ]
    return " ".join(" ".join(part.split()) for part in parts if part.strip())


def _quoted(value: str) -> str:
    match = _QUOTED.match(value)
    return _unescape(match[1]) if match else ""


def _unescape(value: str) -> str:
    return value.replace("\\n", " ").replace('\\"', '"').replace("\\\\", "\\")


def _documents(heading: str, entries: list[str]) -> Iterator[str]:
    text = heading
    for entry in entries:
        if len(text) + len(entry) + 2 > MOST and text != heading:
            yield from _long_enough(text)
            text = heading
        text = f"{text}\n\n{entry}"
        if len(text) >= TARGET:
            yield from _long_enough(text)
            text = heading
    if text != heading:
        yield from _long_enough(text)


def _long_enough(text: str) -> Iterator[str]:
    if LEAST <= len(text) <= MOST:
        yield text


def _branch(term: _Term, terms: dict[str, _Term]) -> str:
    path = [term]
    while path[-1].parent in terms:
        path.append(terms[path[-1].parent])
    path.reverse()
    return path[min(_BRANCH_DEPTH, len(path) - 1)].name


__all__ = ["read"]
