"""Writing files so that a reader sees the old one or the new one, never a part."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ttft_bench.errors import StorageError


@contextmanager
def replacing(path: Path, remedy: str) -> Iterator[IO[bytes]]:
    """Open a handle whose content becomes ``path`` once it is safely on disk; folders are made.

    If anything raises before the end, ``path`` is as it was and nothing is left beside it.

    Args:
        path: the file to write.
        remedy: what the user can do when it cannot be written.

    Raises:
        StorageError: the folder cannot be written or the disk is full.
    """
    with storage_errors(path, remedy):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".tmp", delete=False)  # noqa: SIM115
        temporary = Path(handle.name)
        try:
            with handle:
                yield handle
                handle.flush()
                os.fsync(handle.fileno())
            temporary.chmod(0o644)  # a temporary file is made for its owner's eyes alone
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def storage_errors(path: Path, remedy: str, doing: str = "write") -> Iterator[None]:
    """Turn the system's errors about ``path``, or of ``doing`` something else with it, into a :class:`StorageError`."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot {doing} {path}: {error.strerror or error}. {remedy}") from error


__all__ = ["replacing", "storage_errors"]
