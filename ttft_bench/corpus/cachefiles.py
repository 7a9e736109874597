"""Files of the on-disk cache: written whole or not at all, checked when read, one writer at a time.

Three promises, kept here so that the modules around need not think of them:

* a file appears under its name only when all of it is on disk (temporary name, fsync, rename);
* a damaged file is never used: archives carry the checksums of their format, other files end in a
  digest of what precedes it, and a file that fails the check is removed, so that its owner rebuilds it; what another
  process put in its place meanwhile stays;
* two processes that want the same work take turns, and the second finds it done.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ttft_bench.errors import StorageError
from ttft_bench.files import replacing, storage_errors

Note = Callable[[str], None]

_REMEDY = "Free some space or mend the folder's permissions, or set TTFT_BENCH_CACHE to another folder"
#: Length of the digest at the end of a sealed file.
SEAL_BYTES = 32
_BLOCK_BYTES = 1 << 22


def silent(_: str) -> None:
    """The note of a caller who wants none."""


def digest(*parts: str | bytes | memoryview, size: int = 16) -> str:
    """Hash parts to hex; each part counts with its length, so ("ab", "c") differs from ("a", "bc")."""
    state = hashlib.blake2b(digest_size=size)
    for part in parts:
        # surrogatepass: a text with a lone surrogate is odd, but it has a hash like any other.
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()


def write_atomically(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Call ``write`` with a handle whose content becomes ``path`` once it is safely on disk.

    Raises:
        StorageError: the folder cannot be written, or the disk is full.
    """
    with replacing(path, _REMEDY) as handle:
        write(handle)


def save_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Write arrays as an uncompressed ``.npz``, whose members carry checksums."""
    write_atomically(path, lambda handle: np.savez(handle, **arrays))  # type: ignore[arg-type]


def load_arrays(path: Path, only: Collection[str] | None = None) -> dict[str, NDArray[Any]] | None:
    """Read what :func:`save_arrays` wrote, or only some; None if there is none, or it was damaged (and is gone now)."""
    try:
        with path.open("rb") as handle:
            try:
                # A handle of ours, because NumPy leaves a damaged file open.
                with np.load(handle, allow_pickle=False) as archive:
                    return {name: archive[name] for name in archive.files if only is None or name in only}
            # zipfile raises NotImplementedError where damage makes a member name an unknown compression.
            except (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error):
                discard(path, handle)
    except FileNotFoundError:
        return None
    except OSError:
        discard(path)
    return None


def discard(path: Path, read: IO[bytes] | None = None) -> None:
    """Remove a damaged file; one that cannot be removed is overwritten later, or ignored again.

    Args:
        path: the file.
        read: the open file that was found damaged; if another one stands under its name by now, it is whole and stays.
    """
    with suppress(OSError):
        if read is None or os.path.samestat(os.fstat(read.fileno()), path.stat()):
            path.unlink()


def write_sealed(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file followed by a digest of it, :data:`SEAL_BYTES` that a reader leaves out or never gets to."""

    def write_and_seal(handle: IO[bytes]) -> None:
        write(handle)
        handle.flush()
        length = handle.tell()
        with Path(handle.name).open("rb") as written:
            handle.write(_digest_of(written, length))

    write_atomically(path, write_and_seal)


def is_intact(path: Path) -> bool:
    """Whether a sealed file exists and matches its seal; a damaged one is removed."""
    try:
        with path.open("rb") as handle:
            content = os.fstat(handle.fileno()).st_size - SEAL_BYTES
            if content >= 0 and _digest_of(handle, content) == handle.read():
                return True
            discard(path, handle)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StorageError(f"cannot read {path} ({error.strerror}): delete that file") from error
    return False


def _digest_of(handle: IO[bytes], length: int) -> bytes:
    """Digest of the next ``length`` bytes."""
    state = hashlib.blake2b(digest_size=SEAL_BYTES)
    while length > 0 and (block := handle.read(min(length, _BLOCK_BYTES))):
        state.update(block)
        length -= len(block)
    return state.digest()


@contextmanager
def one_at_a_time(path: Path, work: str, note: Note = silent) -> Iterator[None]:
    """Hold the lock beside ``path`` while inside; say so once if another process holds it.

    Args:
        path: what is about to be made; the lock is ``<path>.lock``.
        work: what the other process is doing, for the note, e.g. "embedding with all-minilm-l6-v2".
        note: receives the one line.

    Raises:
        StorageError: the lock file cannot be created.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(f"{path}.lock")
    with storage_errors(path, _REMEDY):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            note(f"another process is {work}: waiting for it")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


__all__ = [
    "SEAL_BYTES",
    "Note",
    "digest",
    "discard",
    "is_intact",
    "load_arrays",
    "one_at_a_time",
    "save_arrays",
    "silent",
    "write_atomically",
    "write_sealed",
]
