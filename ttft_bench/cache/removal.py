"""Removing from the cache; what :mod:`ttft_bench.cache` promises about it is kept here."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ttft_bench.cache.inventory import LOCK, Entry, Holding, contents, files_under
from ttft_bench.cache.kinds import KINDS
from ttft_bench.errors import UsageError
from ttft_bench.files import storage_errors
from ttft_bench.specs import nearest

#: Where entries go before their files are removed; what a killed run left there goes with the next one.
_REMOVING = ".removing-"
#: What an interrupted search left of a file is guarded by the lock of the whole.
_PART = re.compile(r"\.part-[0-9]+(\.npz)$")
_REMEDY = "Mend its permissions and try again"


@dataclass(frozen=True)
class Outcome:
    """What became of one entry: ``kept`` says why it was not removed; empty if it was."""

    entry: Entry
    kept: str = ""


@dataclass(frozen=True)
class Choice:
    """What a user means: ``entries`` to remove, and ``links``, whole kinds or in their folders, that are left alone."""

    entries: list[Entry]
    links: list[Path]


def choose(root: Path, names: Sequence[str], older_than_days: float | None = None) -> Choice:
    """What a user means; ``all`` passes by kinds that are links.

    Args:
        root: the cache folder.
        names: kinds, or ``all``.
        older_than_days: only what was written longer ago; everything if None.

    Raises:
        UsageError: no kind has that name, or the folder of one that is named itself is a link.
        StorageError: the cache cannot be read.
    """
    holdings = _wanted(root, names)
    for holding in holdings:
        if holding.kind.name in names:
            _refuse_link(holding)
    limit = None if older_than_days is None else time.time() - 86_400 * older_than_days
    entries = [entry for holding in holdings for entry in holding.entries if limit is None or entry.newest < limit]
    return Choice(entries, [link for holding in holdings for link in _links(holding)])


def _links(holding: Holding) -> list[Path]:
    if holding.link:
        return [holding.path]
    return [path for name in holding.foreign if (path := holding.path / name).is_symlink()]


def _wanted(root: Path, names: Sequence[str]) -> list[Holding]:
    known = [kind.name for kind in KINDS]
    for name in sorted({*names} - {*known, "all"}):
        raise UsageError(f"the cache has no kind {name!r}{nearest(name, known)} (kinds: {', '.join(known)}, or all)")
    return [holding for holding in contents(root) if "all" in names or holding.kind.name in names]


def _refuse_link(holding: Holding) -> None:
    if holding.link:
        raise UsageError(
            f"{holding.path} is a link: what it leads to is outside the cache and is left alone; remove it yourself"
        )


def clear(root: Path, entries: Sequence[Entry]) -> Iterator[Outcome]:
    """Remove entries that :func:`choose` found, one after the other.

    Raises:
        StorageError: one cannot be removed; those before it are gone.
    """
    for left in root.glob(f"{_REMOVING}*"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
    for entry in entries:
        with storage_errors(entry.path, _REMEDY), _locks(entry) as free:
            if free:
                _remove(root, entry)
        yield Outcome(entry, "" if free else "another process is making it")


def _remove(root: Path, entry: Entry) -> None:
    """Move what there is of an entry aside, then remove it: under its name it is there or not, never in part."""
    aside = Path(tempfile.mkdtemp(prefix=_REMOVING, dir=root))
    try:
        for path in (entry.path, entry.path.with_name(entry.path.name + LOCK)):
            with suppress(FileNotFoundError):  # no lock, or another process removed it first
                path.rename(aside / path.name)
    finally:
        shutil.rmtree(aside)  # does not follow links


@contextmanager
def _locks(entry: Entry) -> Iterator[bool]:
    """Hold every lock of an entry; yields False if another process holds one."""
    from filelock import FileLock, Timeout

    beside = entry.path.with_name(_PART.sub(r"\1", entry.path.name) + LOCK)
    within = [path for path in files_under(entry.path) if path.name == "lock" or path.suffix == LOCK]
    with ExitStack() as held:
        try:
            for path in (beside, *within):
                if path.is_file() and not path.is_symlink():
                    held.enter_context(FileLock(path, timeout=0))
        except Timeout:
            yield False
        else:
            yield True


__all__ = ["Choice", "Outcome", "choose", "clear"]
