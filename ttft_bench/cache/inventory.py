"""What the cache holds, measured without following a link, and beside processes that write there.

What vanishes while it is looked at, such as a writer's temporary file, is passed by: it is not there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ttft_bench.cache.kinds import KINDS, Kind, names_in
from ttft_bench.files import storage_errors

LOCK = ".lock"
#: What a killed writer left is taken for that only when it is so old; a younger one may be at work.
_LEFTOVER_S = 86_400.0


@dataclass(frozen=True)
class Entry:
    """One thing that is kept or removed as a whole, with the lock beside it.

    Attributes:
        kind: name of the kind.
        path: the file, folder or link.
        files: how many files it holds.
        bytes: their sizes, in bytes; a link counts as itself.
        newest: when the newest of them was written, in seconds since 1970.
        ours: whether this project made it.
    """

    kind: str
    path: Path
    files: int
    bytes: int
    newest: float
    ours: bool


@dataclass(frozen=True)
class Holding:
    """All entries of one kind.

    Attributes:
        kind: what they are.
        path: their folder.
        link: the folder is a link, so that what it leads to is outside the cache and left alone.
        entries: those of this project, by name.
        foreign: names in the folder that this project did not make.
    """

    kind: Kind
    path: Path
    link: bool = False
    entries: tuple[Entry, ...] = ()
    foreign: tuple[str, ...] = field(default=())

    @property
    def bytes(self) -> int:
        """Size of all entries."""
        return sum(entry.bytes for entry in self.entries)

    @property
    def files(self) -> int:
        """Number of files of all entries."""
        return sum(entry.files for entry in self.entries)


def contents(root: Path) -> list[Holding]:
    """What a cache folder holds, kind by kind; a kind that is not there holds nothing.

    Raises:
        StorageError: a folder cannot be read.
    """
    with storage_errors(root, "Mend its permissions, or set TTFT_BENCH_CACHE to another folder", "read"):
        return [_holding(kind, root / kind.name) for kind in KINDS]


def _holding(kind: Kind, folder: Path) -> Holding:
    if folder.is_symlink():
        return Holding(kind, folder, link=True)
    if not folder.is_dir():
        return Holding(kind, folder)
    names = names_in(folder)
    # A lock is part of what it guards; one that guards nothing is what is left of it.
    bases = sorted({name.removesuffix(LOCK) if name != LOCK else name for name in names})
    found = [entry for name in bases if (entry := _entry(kind, folder / name)) is not None]
    return Holding(
        kind,
        folder,
        entries=tuple(entry for entry in found if entry.ours),
        foreign=tuple(entry.path.name for entry in found if not entry.ours),
    )


def _entry(kind: Kind, path: Path) -> Entry | None:
    """One thing and the lock beside it; None if it is gone by now."""
    files, size, newest = 0, 0, 0.0
    for file in (*files_under(path), *files_under(path.with_name(path.name + LOCK))):
        try:
            facts = file.lstat()
        except FileNotFoundError:
            continue
        files, size, newest = files + 1, size + facts.st_size, max(newest, facts.st_mtime)
    ours = _is_ours(kind, path, newest)
    return Entry(kind.name, path, files, size, newest, ours) if ours or os.path.lexists(path) else None


def _is_ours(kind: Kind, path: Path, newest: float) -> bool:
    if path.is_symlink():
        return False
    if path.name.startswith(".") and path.suffix == ".tmp":
        return path.is_file() and time.time() - newest > _LEFTOVER_S
    if not path.exists():
        return path.with_name(path.name + LOCK).is_file()
    return kind.ours(path)


def files_under(path: Path) -> Iterator[Path]:
    """The files under a path, or the path itself; links are files here. Folders that vanish hold none."""
    if path.is_symlink() or path.is_file():
        yield path
    elif path.is_dir():
        for folder, folders, names in os.walk(path):  # does not enter links
            links = [name for name in folders if Path(folder, name).is_symlink()]
            yield from (Path(folder, name) for name in (*names, *links))


__all__ = ["LOCK", "Entry", "Holding", "contents", "files_under"]
