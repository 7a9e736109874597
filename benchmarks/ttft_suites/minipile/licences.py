"""``licences``: texts of software licences, cut into passages at paragraph ends.

The group is the family: licences whose keys begin alike (``bsd-*``, ``cc-*``) or whose texts share much of
their wording, found by comparing shingles. Many licences are a known one under another name, so names
alone would let near-identical wording stand on both sides of the split.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

from ttft_bench.corpus.documents import Document
from ttft_bench.corpus.passages import paragraphs, passages

LEAST, TARGET, MOST = 300, 1000, 3000

#: Words in a shingle; one in ``_SAMPLE`` shingles is kept (chosen by its hash, alike in every text).
_SHINGLE, _SAMPLE = 6, 4
#: Share of the shorter text's shingles that makes two licences one family.
_ALIKE = 0.6
#: A shingle found in more licences than this is boilerplate that proves no kinship.
_COMMON = 60

_HEAD = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_LANGUAGE = re.compile(r"^language: (?!en\b)", re.MULTILINE)
_GNU = {"agpl": "gpl", "lgpl": "gpl", "lgpllr": "gpl", "gfdl": "gpl"}


def read(folder: Path) -> Iterator[Document]:
    """Passages of the English licence texts below ``folder``."""
    texts = {}
    for file in sorted(folder.rglob("*.LICENSE"), key=lambda file: file.relative_to(folder).as_posix()):
        raw = file.read_text("utf-8").replace("\r\n", "\n")
        head = _HEAD.match(raw)
        if head and not _LANGUAGE.search(head[0]):
            texts[file.stem] = raw[head.end() :]
    family = _families(texts)
    for key, text in texts.items():
        for passage in passages(paragraphs(text), least=LEAST, target=TARGET, most=MOST):
            if len(passage) >= LEAST:
                yield Document(passage, "licences", family[key])


def _families(texts: dict[str, str]) -> dict[str, str]:
    """Name the family of each licence: the first key among its relatives."""
    parent = {key: key for key in texts}

    def root(key: str) -> str:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    def join(one: str, other: str) -> None:
        first, second = sorted((root(one), root(other)))
        parent[second] = first

    by_prefix: dict[str, str] = {}
    for key in texts:
        prefix = key.split("-")[0]
        prefix = _GNU.get(prefix, prefix)
        join(key, by_prefix.setdefault(prefix, key))
    for one, other in _relatives(texts):
        join(one, other)
    return {key: root(key) for key in texts}


def _relatives(texts: dict[str, str]) -> Iterator[tuple[str, str]]:
    shingles = {key: _shingles(text) for key, text in texts.items()}
    holders: dict[int, list[str]] = defaultdict(list)
    for key, found in shingles.items():
        for shingle in found:
            holders[shingle].append(key)
    telling = {shingle: keys for shingle, keys in holders.items() if 1 < len(keys) <= _COMMON}
    size = {key: sum(len(holders[shingle]) <= _COMMON for shingle in found) for key, found in shingles.items()}
    shared: dict[tuple[str, str], int] = defaultdict(int)
    for keys in telling.values():
        for position, one in enumerate(keys):
            for other in keys[position + 1 :]:
                shared[one, other] += 1
    for (one, other), count in shared.items():
        if count >= _ALIKE * min(size[one], size[other]):
            yield one, other


def _shingles(text: str) -> set[int]:
    words = re.findall(r"[a-z0-9]+", text.lower())
    hashes = (crc32(" ".join(words[at : at + _SHINGLE]).encode()) for at in range(len(words) - _SHINGLE + 1))
    return {value for value in hashes if value % _SAMPLE == 0}


__all__ = ["read"]
