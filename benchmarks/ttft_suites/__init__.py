"""Suites of ttft-bench, and the corpora they name.

A suite is a TOML file beside this one, a function that says where it is, and a line in the entry-point group
``ttft_bench.suites``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def _file(name: str) -> Callable[[], Path]:
    return lambda: Path(__file__).with_name(f"{name}.toml")


quick = _file("quick")
precision = _file("precision")
minipile_suite = _file("minipile")
baselines = _file("baselines")
paper_main = _file("paper-main")
paper_cpu = _file("paper-cpu")
paper_reuse = _file("paper-reuse")
ablate_cap_ridge = _file("ablate-cap-ridge")
ablate_embedder = _file("ablate-embedder")
ablate_integerize = _file("ablate-integerize")
ablate_lambda = _file("ablate-lambda")
ablate_order = _file("ablate-order")
ablate_pool = _file("ablate-pool")
ablate_reuse = _file("ablate-reuse")
ablate_solver = _file("ablate-solver")

#: What would falsify the claims about HullFT; ``benchmarks/FALSIFIERS.md`` is made from it.
falsifiers = _file("falsifiers")
