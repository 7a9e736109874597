"""Run folders: journals that survive anything, one manifest, a lock, and the exported tables.

A run folder holds ``manifest.json`` (what was asked for, with what), ``picks.jsonl`` and ``documents.jsonl``
(the selection stage), ``results.jsonl`` (one line per cell, flushed as soon as it exists), and what the
report makes of them. A journal is append-only; a torn last line is dropped with a warning and its cell is
run again. The journals of a run that is kept may be compressed (``results.jsonl.gz``): they are read like plain ones,
and what is written afterwards goes into a plain one beside them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ttft_bench.errors import CorpusError, ResumeError, RunLockedError, UsageError
from ttft_bench.files import replacing, storage_errors
from ttft_bench.sweep.journal import (
    ALIGNMENT,
    DOCUMENTS,
    JOURNALS,
    PICKS,
    REMEDY,
    RESULTS,
    Journal,
    compress_journals,
    has_journal,
    read_journal,
    remove_journal,
)
from ttft_bench.sweep.schema import read_row

MANIFEST = "manifest.json"
LOCK = ".lock"


@dataclass(frozen=True)
class Run:
    """A run read back: one row per cell, the last one written.

    Attributes:
        path: the run folder.
        manifest: contents of ``manifest.json``.
        rows: result rows in schema order; every schema key is present.
        warnings: what was dropped while reading.
    """

    path: Path
    manifest: dict[str, Any]
    rows: list[dict[str, Any]]
    warnings: tuple[str, ...] = ()


def load_run(path: Path) -> Run:
    """Read a run folder.

    Raises:
        UsageError: the folder does not exist.
        CorpusError: it is not a run folder, or was written by a newer version.
    """
    path = Path(path)
    if not path.is_dir():
        state = "is a file" if path.is_file() else "does not exist"
        raise UsageError(f"run folder {path} {state}: give a folder that `ttft-bench sweep` wrote")
    manifest = read_manifest(path)
    if manifest is None and not has_journal(path / RESULTS):
        raise CorpusError(
            f"{path} is not a run folder: it holds neither {MANIFEST} nor {RESULTS}; "
            "give a folder that `ttft-bench sweep` wrote"
        )
    records, warnings = read_journal(path / RESULTS)
    cells: dict[str, dict[str, Any]] = {}
    for record in records:
        cell = str(record.get("cell_id", ""))
        if not cell:
            warnings.append(f"{RESULTS}: a record without cell_id is no row and was dropped")
            continue
        cells.pop(cell, None)
        cells[cell] = read_row(record, str(path / RESULTS))
    return Run(path, manifest or {}, list(cells.values()), tuple(warnings))


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of a folder, or None if there is none.

    Raises:
        CorpusError: it is not JSON.
    """
    file = path / MANIFEST
    if not file.exists():
        return None
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorpusError(f"{file} is not valid JSON ({error}): restore it or use another --output") from error
    if not isinstance(manifest, dict):
        raise CorpusError(f"{file} is not a JSON object: restore it or use another --output")
    return manifest


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Replace the manifest atomically."""
    write_atomically(path / MANIFEST, json.dumps(manifest, indent=2, sort_keys=False, default=str) + "\n")


def check_identity(path: Path, identity: Mapping[str, Any]) -> None:
    """Refuse to continue a run whose rows could not stand beside the new ones.

    Args:
        path: run folder, perhaps new.
        identity: name -> value of everything that must not change within a run.

    Raises:
        ResumeError: naming every value that differs, and the remedy.
    """
    manifest = read_manifest(path) or {}
    before = manifest.get("identity", {})
    changed = [
        f"{key} was {before[key]!r}, now {value!r}"
        for key, value in identity.items()
        if key in before and before[key] != value
    ]
    if changed:
        raise ResumeError(
            f"{path} holds another run: {'; '.join(changed)}. Give the same settings to go on with it, "
            "or another --output to start a new one"
        )


def write_tables(run: Run) -> None:
    """Write ``results.csv`` and ``results.parquet``: the same rows, typed by the schema."""
    from ttft_bench.sweep.tables import to_frame, write_parquet

    frame = to_frame(run.rows)
    remedy = "Free some space, or copy the run to a folder that can be written"
    with replacing(run.path / "results.parquet", remedy) as handle:
        write_parquet(frame, handle)
    frame["document_ids"] = [" ".join(map(str, ids or [])) for ids in frame["document_ids"]]
    write_atomically(run.path / "results.csv", frame.to_csv(index=False))


def check_writable(path: Path) -> None:
    """Refuse a run folder that could not be made or written, without making it.

    Raises:
        StorageError: a file is in the way, or the folder is not this user's to write.
    """
    with storage_errors(path, REMEDY):
        there = next(one for one in (path, *path.absolute().parents) if one.exists())
        if not there.is_dir():
            code = errno.EEXIST if there == path else errno.ENOTDIR
            raise OSError(code, os.strerror(code))
        if not os.access(there, os.W_OK | os.X_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Hold a run folder for writing; create it if needed.

    Raises:
        RunLockedError: another process holds it; the message names that process.
        StorageError: the folder cannot be made or written.
    """
    import filelock

    with storage_errors(path, REMEDY):
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    lock = filelock.FileLock(str(path / LOCK))
    holder = path / f"{LOCK}.json"
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        who = "another process"
        with contextlib.suppress(OSError, ValueError, KeyError):
            facts = json.loads(holder.read_text(encoding="utf-8"))
            who = f"process {facts['pid']} on {facts['host']}, started {facts['started']}"
        raise RunLockedError(f"{path} is being written by {who}: wait for it, or give another --output") from error
    try:
        facts = {"pid": os.getpid(), "host": socket.gethostname(), "started": now()}
        write_atomically(holder, json.dumps(facts))
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
            # While it is still held: a newcomer either fails to lock this file or makes one of its own.
            (path / LOCK).unlink(missing_ok=True)
        lock.release()
        with contextlib.suppress(OSError):
            path.rmdir()  # only if empty: a run that never began leaves nothing behind


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old or the new one, never a part.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    with replacing(path, REMEDY) as handle:
        handle.write(text.encode("utf-8"))


__all__ = [
    "ALIGNMENT",
    "DOCUMENTS",
    "JOURNALS",
    "PICKS",
    "RESULTS",
    "Journal",
    "Run",
    "check_identity",
    "check_writable",
    "compress_journals",
    "has_journal",
    "load_run",
    "now",
    "read_journal",
    "read_manifest",
    "remove_journal",
    "write_atomically",
    "write_manifest",
    "write_tables",
    "writing",
]
