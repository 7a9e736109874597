from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttft_bench.engine.schedule import Reuse, Step, build_schedule
from ttft_bench.errors import UsageError

items = st.lists(st.integers(0, 4), min_size=1, max_size=20)


def test_without_reuse_every_step_is_fresh_and_in_order():
    assert build_schedule([3, 3, 1]) == (Step(3, True), Step(3, True), Step(1, True))


def test_runs_reuse_within_consecutive_items_only():
    steps = build_schedule([5, 5, 5, 2, 5, 5], Reuse(2))
    assert [s.item for s in steps] == [5, 5, 5, 2, 5, 5]
    assert [s.fresh for s in steps] == [True, False, True, True, True, False]


def test_interval_three():
    assert [s.fresh for s in build_schedule([1] * 7, Reuse(3))] == [
        True,
        False,
        False,
        True,
        False,
        False,
        True,
    ]


def test_global_grouping_brings_equal_items_together_at_first_appearance():
    steps = build_schedule([1, 2, 1, 3, 2, 1], Reuse(2, "global"))
    assert [s.item for s in steps] == [1, 1, 1, 2, 2, 3]
    assert [s.fresh for s in steps] == [True, False, True, True, False, True]


def test_off_is_off_whatever_the_grouping():
    assert build_schedule([1, 2, 1], Reuse(1, "global")) == build_schedule([1, 2, 1])


@given(items, st.integers(1, 4))
def test_prefix_of_picks_gives_prefix_of_schedule_under_runs(picks, interval):
    whole = build_schedule(picks, Reuse(interval))
    for n in range(1, len(picks) + 1):
        assert build_schedule(picks[:n], Reuse(interval)) == whole[:n]


@given(items, st.integers(1, 4), st.sampled_from(["runs", "global"]))
def test_schedules_keep_the_multiset_and_start_every_run_fresh(picks, interval, grouping):
    steps = build_schedule(picks, Reuse(interval, grouping))
    assert sorted(s.item for s in steps) == sorted(picks)
    for before, step in zip((None, *steps), steps, strict=False):
        if before is None or before.item != step.item:
            assert step.fresh


@pytest.mark.parametrize("bad", [lambda: Reuse(0), lambda: Reuse(2, "sideways")])
def test_impossible_reuse_is_refused(bad):
    with pytest.raises(UsageError):
        bad()
