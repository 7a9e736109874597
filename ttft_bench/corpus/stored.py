"""Documents on disk, for corpora that do not fit in memory: Arrow files, memory-mapped, read where they are asked for.

A file appears whole or not at all, ends in a digest of itself that is checked when it is opened, and says in its
metadata from where the work goes on after it: a run that was killed takes up the stream behind the last whole file.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from ttft_bench.corpus.cachefiles import SEAL_BYTES, discard, is_intact, write_sealed
from ttft_bench.corpus.documents import Document, Identity
from ttft_bench.errors import CorpusError


class StoredDocuments(Sequence[Document]):
    """A sequence of documents in Arrow files; slices are views, and nothing stays in memory.

    Args:
        tables: of :func:`read_documents`, in order.
        digest: identifies the documents and their order.
        rows: which of all rows these are; None for all.
    """

    def __init__(self, tables: Sequence[Any], digest: str, rows: range | None = None) -> None:
        self._tables = tables
        self._ends = np.cumsum([table.num_rows for table in tables]).tolist()
        self.digest = digest
        self._rows = range(self._ends[-1] if self._ends else 0) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Document: ...
    @overload
    def __getitem__(self, index: slice) -> StoredDocuments: ...
    def __getitem__(self, index: int | slice) -> Document | StoredDocuments:
        if isinstance(index, slice):
            return StoredDocuments(self._tables, self.digest, self._rows[index])
        row = self._rows[index]
        shard = bisect_right(self._ends, row)
        table = self._tables[shard]
        place = row - (self._ends[shard] - table.num_rows)
        text, subset, key = (table.column(name)[place].as_py() for name in ("text", "subset", "key"))
        document = Document(text, subset)
        document.__dict__["key"] = key  # what the text would hash to, hashed once when it was stored
        return document

    def __iter__(self) -> Iterator[Document]:
        return (self[position] for position in range(len(self)))

    def identities(self) -> Iterator[Identity]:
        """Key, subset and group of every document, without reading a text."""
        for row in self._rows:
            shard = bisect_right(self._ends, row)
            table = self._tables[shard]
            place = row - (self._ends[shard] - table.num_rows)
            yield table.column("key")[place].as_py(), table.column("subset")[place].as_py(), ""


def write_documents(path: Path, documents: Iterable[Document], facts: dict[str, Any]) -> None:
    """Write one file of documents, and ``facts`` (plain JSON) about them.

    Raises:
        StorageError: the folder cannot be written, or the disk is full.
    """
    import pyarrow

    columns: dict[str, list[str]] = {"text": [], "subset": [], "key": []}
    for document in documents:
        for name, values in columns.items():
            values.append(getattr(document, name))
    schema = pyarrow.schema(
        [("text", pyarrow.large_string()), ("subset", pyarrow.string()), ("key", pyarrow.string())],
        metadata={"facts": json.dumps(facts)},
    )
    table = pyarrow.table(columns, schema=schema)

    def write(handle: Any) -> None:
        with pyarrow.ipc.new_file(handle, schema) as writer:
            writer.write_table(table, max_chunksize=max(1, table.num_rows))

    write_sealed(path, write)


def read_documents(path: Path) -> tuple[Any, dict[str, Any]] | None:
    """Open one file: its table, memory-mapped, and the facts; None if there is none, or it was damaged (and is gone).

    Raises:
        CorpusError, StorageError: it is there and cannot be read.
    """
    import pyarrow

    if not is_intact(path):
        return None
    try:
        source = pyarrow.memory_map(str(path))
        # Arrow looks for its footer at the end, where the seal is.
        table = pyarrow.ipc.open_file(source.read_buffer(source.size() - SEAL_BYTES)).read_all()
        facts = json.loads(table.schema.metadata[b"facts"])
    except (pyarrow.ArrowException, KeyError, TypeError, ValueError):
        discard(path)
        return None
    except OSError as error:
        raise CorpusError(f"cannot read {path} ({error.strerror or error}): delete that file") from error
    return table, facts


__all__ = ["StoredDocuments", "read_documents", "write_documents"]
