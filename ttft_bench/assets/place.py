"""Where the cache is."""

from __future__ import annotations

import os
from pathlib import Path

from ttft_bench.errors import StorageError, UsageError

VARIABLE = "TTFT_BENCH_CACHE"


def cache_dir() -> Path:
    """The cache folder, which may not be there yet: ``TTFT_BENCH_CACHE`` if set, else the platform's for the user.

    Raises:
        UsageError: the variable names something that is no folder, or a place below it.
        StorageError: the platform's own is none.
    """
    place = cache_place()
    obstacle = in_the_way(place)
    if obstacle is None:
        return place
    told = f"{obstacle} is a file, not a folder"
    if os.environ.get(VARIABLE):
        raise UsageError(f"{VARIABLE} names no folder: {told}; set it to a folder, new or not, or unset it")
    raise StorageError(f"the cache {place} cannot be used: {told}; move it away, or set {VARIABLE} to a folder")


def cache_place() -> Path:
    """Where the cache is to be, whatever stands there."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("ttft-bench", appauthor=False))


def in_the_way(folder: Path) -> Path | None:
    """What is no folder where one is, or would be made: itself or one above it; None if nothing is."""
    try:
        first = next((path for path in (folder, *folder.parents) if path.exists()), None)
    except OSError:  # not ours to look at: whoever writes there says so
        return None
    return first if first is not None and not first.is_dir() else None


__all__ = ["VARIABLE", "cache_dir", "cache_place", "in_the_way"]
