"""Records of the Pile as streams that can be taken up where they were left: local files, or a repository of a hub."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ttft_bench.corpus.cachefiles import digest
from ttft_bench.errors import CorpusError
from ttft_bench.text import printable

#: The Pile without the parts whose owners objected.
MIRROR = "monology/pile-uncopyrighted"

_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
#: How the path of a file or folder begins that is not for training.
_HELD_OUT = ("test", "val")


@dataclass(frozen=True)
class Record:
    """One record, and where it stands."""

    values: dict[str, Any]
    where: str


class Stream(Protocol):
    """Records of the Pile, in a fixed order."""

    @property
    def content(self) -> str:
        """Changes whenever the records may."""

    @property
    def has_test(self) -> bool:
        """Whether some records are marked as not for training."""

    def test(self) -> Iterator[Record]:
        """Those records."""

    def train(self, cursor: Any) -> Iterator[Record]:
        """All other records, from the beginning (None) or from where :meth:`cursor` said."""

    def cursor(self) -> Any:
        """Plain JSON that says where the record after the last one of :meth:`train` stands."""


class LocalStream:
    """Files of JSON lines below a path, in the order of their names.

    A file is not for training if it, or a folder on the way to it, has a name that begins with ``test`` or ``val``.

    Raises:
        CorpusError: there is no such file.
    """

    def __init__(self, path: Path) -> None:
        self._root = path
        files = [path] if path.is_file() else sorted(found for found in path.rglob("*") if found.is_file())
        files = [file for file in files if file.name.lower().endswith(_SUFFIXES)]
        if not files:
            raise CorpusError(f"{path} holds no file of JSON lines (known: {', '.join(_SUFFIXES)})")
        held_out = [file for file in files if path.is_dir() and self._is_held_out(file)]
        self._test = held_out
        self._train = [file for file in files if file not in held_out]
        self._cursor = {"file": 0, "line": 0}

    @property
    def content(self) -> str:
        """A hash of names, sizes and times of change: reading all of it only to see that it is the same takes hours."""
        facts = [(self._name(file), file.stat().st_size, file.stat().st_mtime_ns) for file in self._train + self._test]
        return digest("local", json.dumps(facts))

    @property
    def has_test(self) -> bool:
        """Whether there is a test or validation file."""
        return bool(self._test)

    def test(self) -> Iterator[Record]:
        """Records of the test and validation files."""
        for file in self._test:
            for _, record in self._read(file, 0):
                yield record

    def train(self, cursor: Any) -> Iterator[Record]:
        """Records of the other files."""
        start = dict(cursor or {"file": 0, "line": 0})
        for number in range(start["file"], len(self._train)):
            skip = start["line"] if number == start["file"] else 0
            for line, record in self._read(self._train[number], skip):
                self._cursor = {"file": number, "line": line}
                yield record

    def cursor(self) -> dict[str, int]:
        """Number of the file, and how many of its lines are done with."""
        return dict(self._cursor)

    def _read(self, file: Path, skip: int) -> Iterator[tuple[int, Record]]:
        """Numbers (from 1) and records of the lines after the first ``skip``."""
        try:
            with _open(file) as lines:
                for number, line in enumerate(lines, start=1):
                    if number > skip and line.strip():
                        where = f"{self._name(file)}, line {number}"
                        yield number, Record(_parse(line, where), where)
        except (OSError, EOFError, zlib.error) as error:
            raise CorpusError(f"{file} cannot be read ({error}): copy or make it again") from error

    def _name(self, file: Path) -> str:
        return file.relative_to(self._root).as_posix() if self._root.is_dir() else file.name

    def _is_held_out(self, file: Path) -> bool:
        return any(part.lower().startswith(_HELD_OUT) for part in file.relative_to(self._root).parts)


class HubStream:
    """A repository of a hub with the splits ``train`` and ``test`` (or ``validation``), streamed with ``datasets``.

    Args:
        place: ``OWNER/NAME``, or ``OWNER/NAME@REVISION`` for another revision than the newest.
    """

    def __init__(self, place: str) -> None:
        self._name, _, revision = place.partition("@")
        self._revision = revision or None
        self._current: Any = None
        self.content = digest("hub", place)
        self.has_test = True

    def test(self) -> Iterator[Record]:
        """Records of the test split."""
        return self._records(self._open("test"), "test")

    def train(self, cursor: Any) -> Iterator[Record]:
        """Records of the training split."""
        self._current = self._open("train")
        if cursor is not None:
            self._current.load_state_dict(cursor)
        return self._records(self._current, "train")

    def cursor(self) -> Any:
        """The state that ``datasets`` gives for going on."""
        return self._current.state_dict()

    def _open(self, split: str) -> Any:
        try:
            import datasets
        except ImportError as error:
            raise CorpusError(
                f"reading {self._name} from its hub needs the library datasets, which is not installed: "
                "pip install 'ttft-bench[hub]', or give local files as pile:PATH"
            ) from error
        try:
            return datasets.load_dataset(self._name, revision=self._revision, split=split, streaming=True)
        except Exception as error:  # whatever the library, the hub and the network raise, the user needs one line
            raise CorpusError(
                f"{self._name}, split {split}, cannot be opened ({_one_line(error)}): check the name and the network, "
                "or give local files as pile:PATH"
            ) from error

    def _records(self, rows: Any, split: str) -> Iterator[Record]:
        iterator = iter(rows)
        number = 0
        while True:
            try:
                values = next(iterator)
            except StopIteration:
                return
            except Exception as error:
                raise CorpusError(
                    f"{self._name}, split {split}: reading stopped ({_one_line(error)}); what is stored is kept: "
                    "run the same command again"
                ) from error
            number += 1
            yield Record(values, f"{self._name}, split {split}, record {number} of this reading")


@contextmanager
def _open(file: Path) -> Iterator[Any]:
    """The lines of a file as bytes, decompressed on the way."""
    name = file.name.lower()
    if name.endswith(".gz"):
        with gzip.open(file) as lines:
            yield lines
    elif name.endswith(".zst"):
        import pyarrow

        with pyarrow.input_stream(str(file), compression="zstd") as stream, io.BufferedReader(stream) as lines:
            yield lines
    else:
        with file.open("rb") as lines:
            yield lines


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise CorpusError(f"{where}: not JSON ({error})") from error
    if not isinstance(values, dict):
        raise CorpusError(f"{where}: a JSON object was due, found {type(values).__name__}")
    return values


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return printable(lines[0], 160) if lines else type(error).__name__


__all__ = ["MIRROR", "HubStream", "LocalStream", "Record", "Stream"]
