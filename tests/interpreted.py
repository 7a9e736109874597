"""Checks of Triton kernels in a process of their own.

triton decides when a kernel is defined whether it will be compiled or interpreted.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch


def check_interpreted(file: Path) -> None:
    """Run the tests of ``file``, with kernels interpreted where there is no GPU, and fail if one of them does."""
    triton = pytest.importorskip("triton", reason="the kernels need triton: pip install triton (Linux)")
    old = tuple(map(int, triton.__version__.split(".")[:2])) < (3, 9)
    if old and not torch.cuda.is_available() and np.lib.NumpyVersion(np.__version__) >= "2.4.0":
        pytest.skip("the interpreter of triton before 3.9 does not work with NumPy 2.4")
    interpreted = {} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
        env=os.environ | interpreted,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
