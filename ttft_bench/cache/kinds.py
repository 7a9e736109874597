"""The kinds of things in the cache, a folder each, and how an entry of each is recognised as ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kind:
    """One folder of the cache.

    Attributes:
        name: of the folder, and on the command line.
        about: what it holds.
        again: what making it again takes.
        ours: whether an entry, a file or folder in it, is one that this project made.
    """

    name: str
    about: str
    again: str
    ours: Callable[[Path], bool]


def names_in(folder: Path) -> set[str]:
    """Names of what a folder holds; none if it is gone by now."""
    try:
        return {item.name for item in folder.iterdir()}
    except FileNotFoundError:
        return set()


def _file(pattern: str) -> Callable[[Path], bool]:
    """A file of such a name."""
    compiled = re.compile(pattern)
    return lambda path: path.is_file() and compiled.fullmatch(path.name) is not None


def _folder(pattern: str, of: str) -> Callable[[Path], bool]:
    """A folder of such a name in which every name fits ``of``."""
    name, member = re.compile(pattern), re.compile(of)

    def fits(path: Path) -> bool:
        if name.fullmatch(path.name) is None or not path.is_dir():
            return False
        names = names_in(path)
        return bool(names) and all(member.fullmatch(item) for item in names)

    return fits


def _either(*tests: Callable[[Path], bool]) -> Callable[[Path], bool]:
    return lambda path: any(test(path) for test in tests)


#: Hashes end the names of what is kept by content.
_HASH = r"[0-9a-f]{8,64}"
#: Beside a file: its lock, and what a killed writer left.
_BESIDE = r".*\.lock|\..*\.tmp"

KINDS = (
    Kind(
        "assets",
        "pinned models, embedders and sources",
        "downloads them",
        _folder(r".+-[0-9].*", r"lock|.*\.whl|(ready|tmp)-.*"),
    ),
    Kind(
        "corpora",
        "documents as read from their sources",
        "reads the sources",
        _either(_file(rf".+-{_HASH}\.jsonl"), _folder(rf"pile-{_HASH}", rf"[a-z-]+[0-9]*\.(arrow|json)|{_BESIDE}")),
    ),
    Kind(
        "embeddings",
        "embeddings of documents and prompts",
        "embeds them again: the longest work after training",
        _folder(r".+", rf"(rows|matrix)-.*\.np[yz]|{_BESIDE}"),
    ),
    Kind(
        "indexes",
        "indexes of embeddings",
        "takes seconds, and hours where there are millions",
        _either(_file(rf"[a-z-]+-{_HASH}\.faiss"), _folder(rf"[a-z]+-{_HASH}", rf".*\.faiss|{_BESIDE}")),
    ),
    Kind(
        "leaks",
        "near-duplicates of prompts",
        "reads every document again",
        _file(rf"{_HASH}-{_HASH}(\.part-[0-9]+)?\.npz"),
    ),
    Kind("pools", "candidates of prompts", "embeds the prompts again", _folder(_HASH, rf".*\.npz|{_BESIDE}")),
)

__all__ = ["KINDS", "Kind", "names_in"]
