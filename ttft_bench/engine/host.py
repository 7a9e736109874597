"""The host: an allocator that keeps what a training step frees, and no more threads than a container may use.

Both are settings of the process, so it is programs that ask for them, not the engine.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
from pathlib import Path

#: Parameters of glibc's mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Stop glibc from giving large freed blocks back to the kernel, for the rest of the process.

    Activations and logits are tens of megabytes each; by default every one is mapped anew on every step and
    its pages are faulted in one by one: about 90,000 page faults a step of a 135M model at 96 tokens.

    Returns:
        Whether the allocator could be told (only glibc can).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, _NEVER))


def fit_threads() -> int:
    """Let PyTorch use no more threads than the processors that this process may keep busy.

    PyTorch counts the cores of the machine that the process may run on. A container's quota of processor time says
    more: 64 threads on a quota of 4 processors are stopped most of the time, and every barrier waits for them.
    A number of the user's own (``OMP_NUM_THREADS``, ``MKL_NUM_THREADS``) is left alone.

    Returns:
        The number of threads in use from now on.
    """
    import torch

    threads = torch.get_num_threads()
    quota = cpu_quota()
    if quota is not None and not {"OMP_NUM_THREADS", "MKL_NUM_THREADS"} & os.environ.keys():
        wanted = max(1, math.floor(quota))
        if wanted < threads:
            torch.set_num_threads(wanted)
            threads = wanted
    return threads


def cpu_quota(groups: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> float | None:
    """Processors that this process's control groups allow it, the least of them and all their parents.

    Args:
        groups: where the control groups are mounted.
        membership: the file that says which of them the process is in.

    Returns:
        None without control groups or without a limit.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    limits = []
    for line in lines:
        # Version 2 writes "0::/path"; version 1 one line for each controller, "4:cpu,cpuacct:/path".
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / controllers if controllers else groups
        own = root / path.strip("/")
        # A container sees its own group as the root, whatever its path is outside.
        folders = [own, *own.parents] if own.is_dir() else [root]
        limits += [limit for folder in folders if folder.is_relative_to(root) and (limit := _limit(folder)) is not None]
    return min(limits, default=None)


def _limit(folder: Path) -> float | None:
    """Quota over period of one group: ``cpu.max`` in version 2, two files in version 1."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="utf-8")
            period = (folder / "cpu.cfs_period_us").read_text(encoding="utf-8")
        # "max" in version 2 and -1 in version 1 mean no limit.
        return float(quota) / float(period) if quota.strip() != "max" and float(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


__all__ = ["cpu_quota", "fit_threads", "keep_freed_memory"]
