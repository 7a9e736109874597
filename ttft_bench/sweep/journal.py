"""Journals: files of JSON lines that survive anything, plain while a run lives, perhaps compressed once it is kept."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ttft_bench.errors import CorpusError
from ttft_bench.files import replacing, storage_errors

RESULTS = "results.jsonl"
PICKS = "picks.jsonl"
DOCUMENTS = "documents.jsonl"
ALIGNMENT = "alignment.jsonl"
#: Every journal of a run folder.
JOURNALS = (RESULTS, PICKS, DOCUMENTS, ALIGNMENT)

REMEDY = "Give another --output, or free some space; rows already written are kept"


class Journal:
    """Appends JSON lines to a file, each one flushed to the disk before :meth:`append` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with storage_errors(path, REMEDY):
            _drop_torn_line(path)
            self._stream = path.open("a", encoding="utf-8")

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record as one line.

        Raises:
            StorageError: the disk is full or the folder vanished.
        """
        with storage_errors(self.path, REMEDY):
            self._stream.write(json.dumps(record, ensure_ascii=True, separators=(",", ":"), allow_nan=False) + "\n")
            self._stream.flush()
            os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file."""
        # A full disk has been reported by `append`; nothing is buffered that closing could still lose.
        with contextlib.suppress(OSError):
            self._stream.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def has_journal(path: Path) -> bool:
    """Whether a journal is there, plain or compressed."""
    return path.exists() or _compressed(path).exists()


def read_journal(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Read a journal's records and warnings about lines that are not whole records; its compressed part comes first.

    Raises:
        CorpusError: the compressed part is no whole gzip file.
    """
    records: list[dict[str, Any]] = []
    warnings: list[str] = []
    for part in (_compressed(path), path):
        if part.exists():
            _read_lines(part, records, warnings)
    return records, warnings


def remove_journal(path: Path) -> None:
    """Remove a journal, plain and compressed, if it is there."""
    for part in (path, _compressed(path)):
        part.unlink(missing_ok=True)


def compress_journals(folder: Path) -> None:
    """Compress every journal of a run folder; the same rows make the same bytes (no name, no time).

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    for name in JOURNALS:
        path = folder / name
        if path.exists():
            with replacing(_compressed(path), REMEDY) as handle:
                parts = [_content(part) for part in (_compressed(path), path) if part.exists()]
                handle.write(gzip.compress(b"\n".join(parts), mtime=0))
            path.unlink()


def _compressed(path: Path) -> Path:
    return path.with_name(f"{path.name}.gz")


def _content(path: Path) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        return gzip.decompress(path.read_bytes())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CorpusError(f"{path} is not a whole gzip file ({error}): restore it") from error


def _read_lines(path: Path, records: list[dict[str, Any]], warnings: list[str]) -> None:
    for number, line in enumerate(_content(path).split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict):
            records.append(record)
        else:
            warnings.append(
                f"{path.name} line {number} is not a whole record and was dropped; a sweep into this folder runs its "
                "cell again"
            )


def _drop_torn_line(path: Path) -> None:
    """Cut what a killed process left unfinished after the last line break, so that lines stay whole."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole, _, tail = content.rpartition(b"\n")
    if not tail:
        return
    try:
        json.loads(tail)
    except ValueError:
        kept = whole + b"\n" if whole else b""
    else:
        kept = content + b"\n"
    with path.open("rb+") as stream:
        stream.truncate(min(len(kept), len(content)))
        stream.seek(min(len(kept), len(content)))
        stream.write(kept[len(content) :])


__all__ = [
    "ALIGNMENT",
    "DOCUMENTS",
    "JOURNALS",
    "PICKS",
    "REMEDY",
    "RESULTS",
    "Journal",
    "compress_journals",
    "has_journal",
    "read_journal",
    "remove_journal",
]
