"""Where a result came from: versions, commit, machine, command line."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ttft_bench

_PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "numpy",
    "scipy",
    "cvxpy",
    "clarabel",
    "faiss-cpu",
    "sentence-transformers",
)


def collect(argv: list[str]) -> dict[str, Any]:
    """Versions, commit and machine; fields that cannot be known are None."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "ttft_bench": ttft_bench.__version__,
        **_commit(),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "argv": ["ttft-bench", *argv],
    }


def device_label(device: Any) -> str:
    """What the column ``device`` says: ``cpu``, or the name of the GPU."""
    import torch

    if device.type == "cuda":
        return f"cuda:{torch.cuda.get_device_name(device)}"
    return str(device.type)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> dict[str, Any]:
    """Commit of the source tree this runs from; None when it runs from an installed wheel."""
    root = Path(ttft_bench.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def _cpu_model() -> str:
    if sys.platform == "linux":
        try:
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
        except OSError:
            pass
    return platform.processor() or platform.machine()


__all__ = ["collect", "device_label"]
