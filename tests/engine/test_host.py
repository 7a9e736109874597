from __future__ import annotations

import platform
import subprocess
import sys

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
