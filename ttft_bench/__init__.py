"""ttft-bench: selection strategies and a benchmark for test-time finetuning of language models."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("ttft-bench")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

#: Public names and the module each one lives in; loaded on first use, so that importing is instant.
_PUBLIC = {
    "Lab": "ttft_bench.lab",
    "Problem": "ttft_bench.selector",
    "Selection": "ttft_bench.selector",
    "Selector": "ttft_bench.selector",
    "make_problem": "ttft_bench.selector",
    "selector_checks": "ttft_bench.checks",
    "build_selector": "ttft_bench.registry",
    "TtftBenchError": "ttft_bench.errors",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'ttft_bench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
