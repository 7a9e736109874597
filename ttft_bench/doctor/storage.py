"""The cache, what was downloaded into it, free disk, the folder for runs, and the terminal's encoding."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ttft_bench.doctor.finding import Finding
from ttft_bench.text import size

SECTION = "storage"
#: Less free space than this stops a first run: all assets, unpacked and converted, are about 1 GiB.
_LEAST_BYTES = 2 * 2**30
_CACHE_REMEDY = "set TTFT_BENCH_CACHE to a folder that can be written, or mend its permissions"


def examine() -> Iterator[Finding]:
    """Everything that is written or read outside the libraries."""
    from ttft_bench import assets

    cache = assets.cache_place()
    yield from _cache(cache)
    yield _free("free disk for the cache", cache, "remove some (`ttft-bench cache clear`), or set TTFT_BENCH_CACHE")
    if assets.in_the_way(cache) is None:
        yield from _assets()
    yield _folder_for_runs(Path.cwd())
    yield _free("free disk for runs", Path.cwd(), "free some, or name another folder with --output")
    encoding = sys.stdout.encoding
    if encoding.lower().replace("-", "") not in {"utf8", "utf8sig"}:
        told = f"{encoding}: characters that it lacks are shown as question marks"
        yield Finding(SECTION, "encoding", "warning", told, "set PYTHONUTF8=1, or a locale such as C.UTF-8")


def _cache(cache: Path) -> Iterator[Finding]:
    from ttft_bench.cache import contents

    fault = _unwritable(cache)
    if fault:
        yield Finding(SECTION, "cache", "problem", f"{cache} cannot be written: {fault}", _CACHE_REMEDY)
        return
    holdings = contents(cache)
    sizes = {holding.kind.name: holding.bytes for holding in holdings}
    told = ", ".join(f"{name} {size(count)}" for name, count in sizes.items() if count) or "empty"
    yield Finding(SECTION, "cache", detail=f"{cache}: {told}", data={"path": str(cache), "bytes": sizes})


def _assets() -> Iterator[Finding]:
    from ttft_bench import assets

    for line in assets.broken_providers():
        told, _, remedy = line.rpartition("; ")
        yield Finding(SECTION, "assets", "problem", told, remedy)
    for name, twice in assets.doubled().items():
        told, remedy = twice.message.split("; ", 1)
        yield Finding(SECTION, f"asset {name}", "problem", told, remedy)
    missing = []
    for name in assets.catalogue():
        found = assets.verify(name)
        if found.state == "damaged":
            remedy = f"ttft-bench assets fetch {name}"
            yield Finding(SECTION, f"asset {name}", "problem", "; ".join(found.faults[:3]), remedy)
        elif found.state == "missing":
            missing.append(name)
        else:
            yield Finding(SECTION, f"asset {name}", detail="here, and matches its hash", data={"state": "ok"})
    if missing:
        told = f"not here yet, fetched when first used: {', '.join(missing)}"
        yield Finding(SECTION, "assets", detail=told, data={"missing": missing})


def _folder_for_runs(folder: Path) -> Finding:
    fault = _unwritable(folder)
    if fault:
        told = f"{folder} cannot be written: {fault}"
        return Finding(SECTION, "folder for runs", "warning", told, "name another folder with --output")
    return Finding(SECTION, "folder for runs", detail=f"{folder / 'reports'}")


def _free(name: str, folder: Path, remedy: str) -> Finding:
    usage = shutil.disk_usage(_existing(folder))
    data = {"free_bytes": usage.free, "total_bytes": usage.total}
    told = f"{size(usage.free)} free of {size(usage.total)}"
    if usage.free < _LEAST_BYTES:
        return Finding(SECTION, name, "problem", f"{told}; a first run takes about {size(_LEAST_BYTES)}", remedy, data)
    return Finding(SECTION, name, detail=told, data=data)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _unwritable(folder: Path) -> str:
    """Why nothing can be written into a folder, or where it will be made; empty if it can."""
    from ttft_bench.assets import in_the_way

    obstacle = in_the_way(folder)
    if obstacle is not None:
        return "it is a file" if obstacle == folder else f"{obstacle} is a file"
    place = _existing(folder)
    if not os.access(place, os.W_OK | os.X_OK):
        return "permission denied"
    if place == folder:
        try:
            with tempfile.TemporaryFile(dir=folder):
                return ""
        except OSError as error:
            return error.strerror or str(error)
    return ""


__all__ = ["examine"]
