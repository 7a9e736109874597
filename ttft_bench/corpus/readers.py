"""Read documents from a path: JSONL, Parquet, a text file, or a folder of these."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ttft_bench.corpus.documents import PROMPT, TRAIN, Document
from ttft_bench.corpus.passages import paragraphs, passages
from ttft_bench.errors import CorpusError
from ttft_bench.text import printable

#: Passages of a text file: at least, about, and at most so many characters.
TEXT_LEAST, TEXT_TARGET, TEXT_MOST = 300, 1000, 3000

_SPLITS = {
    **{"": "", "train": TRAIN, "training": TRAIN},
    **{"prompt": PROMPT, "prompts": PROMPT, "test": PROMPT, "validation": PROMPT, "valid": PROMPT},
}
_COLUMNS = ("text", "subset", "group", "split")


def read_path(path: Path) -> Iterator[Document]:
    """Read a file by its suffix, or a folder of files.

    In a folder, the first sub-folders are the subsets and the text files are the groups. A text file is cut
    into passages at blank lines.

    Raises:
        CorpusError: the path is missing or of an unknown kind, or something in it is malformed.
    """
    try:
        if path.is_dir():
            yield from _read_folder(path)
            return
        reader = _reader_of(path)
        if reader is None:
            known = ", ".join(_READERS)
            raise CorpusError(f"{path}: no reader for this kind of file (known: {known}, or a folder)")
        yield from reader(path)
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror or error}") from error


def _reader_of(path: Path) -> Callable[[Path], Iterator[Document]] | None:
    name = path.name.lower()
    return next((reader for suffix, reader in _READERS.items() if name.endswith(suffix)), None)


def _read_folder(folder: Path) -> Iterator[Document]:
    found = False
    # Sorted by posix path: the order of a folder's entries differs between file systems.
    for file in sorted(_visible_files(folder), key=lambda file: file.relative_to(folder).as_posix()):
        reader = _reader_of(file)
        if reader is None:
            continue
        found = True
        inside = file.relative_to(folder)
        subset = inside.parts[0] if len(inside.parts) > 1 else "default"
        for document in reader(file):
            if reader is _read_text:
                yield Document(document.text, subset, inside.as_posix())
            else:
                yield document
    if not found:
        raise CorpusError(f"{folder} holds no file that can be read (known: {', '.join(_READERS)})")


def _visible_files(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(root, name) for name in files if not name.startswith("."))


def _read_text(path: Path) -> Iterator[Document]:
    text = _decode(path.read_bytes(), path)
    parts = paragraphs(text.replace("\r\n", "\n"))
    for passage in passages(parts, least=TEXT_LEAST, target=TEXT_TARGET, most=TEXT_MOST):
        yield Document(passage)


def _decode(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CorpusError(
            f"{path}, line {line} (byte {error.start}): not UTF-8 ({error.reason}): save the file as UTF-8"
        ) from error


def _read_jsonl(path: Path) -> Iterator[Document]:
    for number, line in enumerate(_decode(_read_bytes(path), path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise CorpusError(
                f"{where}: not JSON ({error}); each line must be an object such as "
                '{"text": "...", "subset": "...", "group": "..."}'
            ) from error
        if not isinstance(record, dict):
            raise CorpusError(f"{where}: a JSON object was due, found {type(record).__name__}")
        yield _document(record, where)


def _read_bytes(path: Path) -> bytes:
    try:
        if path.name.lower().endswith(".gz"):
            return gzip.decompress(path.read_bytes())
        if path.name.lower().endswith(".zst"):
            import pyarrow

            with pyarrow.input_stream(str(path), compression="zstd") as stream:
                return bytes(stream.read())
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(f"{path} cannot be decompressed ({error}): copy or make it again") from error
    return path.read_bytes()


def _read_parquet(path: Path) -> Iterator[Document]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as table:
            columns = [name for name in table.schema_arrow.names if name in _COLUMNS]
            number = 0
            for batch in table.iter_batches(columns=columns):
                for record in batch.to_pylist():
                    number += 1
                    yield _document(record, f"{path}, row {number}")
    except pyarrow.ArrowException as error:
        raise CorpusError(f"{path} is not a readable Parquet file ({printable(str(error), 200)})") from error


def _document(record: dict[str, Any], where: str) -> Document:
    if "text" not in record:
        keys = ", ".join(map(repr, record)) or "none"
        raise CorpusError(f'{where}: no "text" (keys: {printable(keys, 200)}); put the document under "text"')
    values = {}
    for key in _COLUMNS:
        value = record.get(key)
        if key == "text" or value is not None:
            if not isinstance(value, str):
                raise CorpusError(f'{where}: "{key}" must be a string, found {type(value).__name__}')
            values[key] = value
    values["subset"] = values.get("subset") or "default"
    split = values.get("split", "").lower()
    if split not in _SPLITS:
        known = ", ".join(name for name in _SPLITS if name)
        raise CorpusError(f'{where}: unknown "split" {printable(split, 60)!r} (known: {known})')
    return Document(**{**values, "split": _SPLITS[split]})


_READERS: dict[str, Callable[[Path], Iterator[Document]]] = {
    ".jsonl": _read_jsonl,
    ".jsonl.gz": _read_jsonl,
    ".jsonl.zst": _read_jsonl,
    ".parquet": _read_parquet,
    ".txt": _read_text,
    ".md": _read_text,
    ".rst": _read_text,
}

__all__ = ["TEXT_LEAST", "TEXT_MOST", "TEXT_TARGET", "read_path"]
