from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from ttft_bench.engine import host
from ttft_bench.engine.host import cpu_quota, fit_threads

CODE = """
import resource, sys
import numpy as np
from ttft_bench.engine.host import keep_freed_memory

def faults(rounds=5):
    np.ones(8_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        np.ones(8_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
told = keep_freed_memory()
print(int(told), before, faults())
"""


def test_freed_blocks_are_kept_and_not_faulted_in_again():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    told, before, after = map(int, done.stdout.split())
    assert bool(told) == (platform.libc_ver()[0] == "glibc")
    if told:
        assert after < before / 10


def groups(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder, folder / "membership"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"membership": "0::/", "cpu.max": "200000 100000"}, 2.0),
        ({"membership": "0::/", "cpu.max": "max 100000"}, None),
        ({"membership": "0::/a/b", "a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000"}, 1.5),
        ({"membership": "0::/a/b", "a/b/cpu.max": "300000 100000", "a/cpu.max": "800000 100000"}, 3.0),
        # The container's own group is mounted as the root, whatever it is called outside.
        ({"membership": "0::/outside/name", "cpu.max": "400000 100000"}, 4.0),
        (
            {
                "membership": "5:memory:/x\n4:cpu,cpuacct:/x\n",
                "cpu,cpuacct/x/cpu.cfs_quota_us": "250000",
                "cpu,cpuacct/x/cpu.cfs_period_us": "100000",
            },
            2.5,
        ),
        ({"membership": "1:cpu:/", "cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"membership": "0::/", "cpu.max": "nonsense"}, None),
        ({"membership": ""}, None),
    ],
)
def test_the_quota_of_a_container_is_read(files, expected, tmp_path):
    assert cpu_quota(*groups(tmp_path, files)) == expected


def test_a_machine_without_control_groups_has_no_quota(tmp_path):
    assert cpu_quota(tmp_path, tmp_path / "missing") is None


@pytest.mark.parametrize(("quota", "expected"), [(None, 4), (9.0, 4), (3.7, 3), (0.5, 1)])
def test_threads_fit_the_quota_and_are_never_raised(quota, expected, monkeypatch):
    used = [4]
    monkeypatch.setattr(torch, "get_num_threads", lambda: used[-1])
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    monkeypatch.setattr(host, "cpu_quota", lambda: quota)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert fit_threads() == used[-1] == expected
    used[:] = [4]
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert fit_threads() == 4 and used == [4]
