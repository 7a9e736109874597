"""Picks that were stored before: what of them a sweep uses, and what it says of the rest."""

from __future__ import annotations

import pytest

from reporters import Log
from stored_picks import pick, write_picks
from ttft_bench.sweep.request import Request
from ttft_bench.sweep.run import plan_run
from ttft_bench.sweep.stored import from_picks
from ttft_bench.sweep.suite import ModelSpec, SelectSpec, Suite


@pytest.fixture
def picks(tmp_path):
    """Picks of two strategies at N = 1, 2 and 5, and of a control at the largest only, as ``select`` makes them."""
    made = [pick("p", label, [0] * n) for label in ("knn", "sift") for n in (1, 2, 5)]
    control = pick("p", "random-corpus", [0] * 5, spec="random", pool="random", control=True)
    return write_picks(tmp_path / "picks", {"p": "a b"}, ["a b"], [*made, control])


def request(picks, budgets, *strategies, **settings):
    suite = Suite("s", select=SelectSpec(strategies, budgets=budgets, reuse=(1,)), **settings)
    return Request(suite, picks.parent / "run", device="cpu", picks=picks)


def test_a_control_without_picks_at_these_budgets_is_named_with_a_remedy(picks, tiny_model_dir):
    log = Log()
    plan = plan_run(request(picks, (1, 2), "knn", model=ModelSpec(str(tiny_model_dir))), log)
    assert {cell.job.label for cell in plan.cells} == {"knn"}
    (told,) = (note for note in log.notes if "left out" in note)
    assert told.startswith("warning: ") and "control random-corpus (picked at N = 5 only)" in told
    assert "--budgets 1,2,5" in told and "ttft-bench select --budgets 1,2`" in told
    assert "sift" not in told, "nobody asked for it"


def test_what_has_picks_at_one_of_the_budgets_is_not_spoken_of(picks):
    found = from_picks(request(picks, (2, 5)))
    assert {job.label: job.budgets for job in found.jobs} == {"knn": (2, 5), "sift": (2, 5), "random-corpus": (5,)}
    assert found.left_out == ""
