"""What a run says its rows depend on."""

from __future__ import annotations

import pytest

from ttft_bench.sweep.record import cell_identity, engine_identity
from ttft_bench.sweep.suite import load_suite


@pytest.mark.parametrize(
    ("precision", "backend", "rounding"),
    [("fp32", "compiled", ""), ("bf16", "eager", ""), ("bf16", "compiled", "at random")],
)
def test_shadows_are_those_of_compiled_steps_in_half_precision(precision, backend, rounding):
    suite = load_suite("quick").with_changes("model", precision=precision)
    found = cell_identity(engine_identity(suite, "f", backend))
    assert found.get("shadow_rounding", "") == rounding
    assert found.get("scored_in", "") == ("fp32" if precision == "bf16" else "")
