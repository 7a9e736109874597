from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttft_bench.engine.choices import GROUPINGS, REUSE_MODES
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


def test_the_controls_compute_as_many_gradients_in_fewer_steps():
    picks = [4, 4, 4, 9, 4]
    assert build_schedule(picks, Reuse(2, mode="skip")) == tuple(Step(i, True) for i in (4, 4, 9, 4))
    assert build_schedule(picks, Reuse(2, mode="scale-lr")) == (
        Step(4, True, lr_scale=2.0),
        Step(4, True),
        Step(9, True),
        Step(4, True),
    )
    assert build_schedule(picks, Reuse(3, "global", "weighted-loss")) == (
        Step(4, True, loss_weight=3.0),
        Step(4, True),
        Step(9, True),
    )


@given(items, st.sampled_from(GROUPINGS), st.sampled_from(REUSE_MODES))
def test_an_interval_of_one_is_no_reuse_in_every_mode(picks, grouping, mode):
    assert build_schedule(picks, Reuse(1, grouping, mode)) == build_schedule(picks)


@given(items, st.integers(1, 5), st.sampled_from(GROUPINGS), st.sampled_from(REUSE_MODES))
def test_every_mode_computes_the_gradients_of_cached(picks, interval, grouping, mode):
    fresh = [s.item for s in build_schedule(picks, Reuse(interval, grouping, mode)) if s.fresh]
    assert fresh == [s.item for s in build_schedule(picks, Reuse(interval, grouping)) if s.fresh]


@given(items, st.integers(1, 5), st.sampled_from(GROUPINGS), st.sampled_from(["scale-lr", "weighted-loss"]))
def test_group_sizes_add_up_to_the_picks(picks, interval, grouping, mode):
    steps = build_schedule(picks, Reuse(interval, grouping, mode))
    assert sum(s.lr_scale * s.loss_weight for s in steps) == len(picks)
    assert max(s.lr_scale * s.loss_weight for s in steps) <= interval


@given(items, st.integers(1, 4), st.sampled_from(["cached", "skip"]))
def test_prefix_of_picks_gives_prefix_of_schedule_under_runs(picks, interval, mode):
    whole = build_schedule(picks, Reuse(interval, mode=mode))
    for n in range(1, len(picks) + 1):
        part = build_schedule(picks[:n], Reuse(interval, mode=mode))
        assert part == whole[: len(part)]


@pytest.mark.parametrize(
    ("picks", "reuse"),
    [
        ([1, 1], Reuse(2, mode="scale-lr")),
        ([1, 1], Reuse(2, mode="weighted-loss")),
        ([1, 2, 1], Reuse(2, "global")),
        ([1, 2, 3, 1, 1], Reuse(2, "global", "skip")),
    ],
)
def test_where_the_prefix_property_does_not_hold(picks, reuse):
    part = build_schedule(picks[:-1], reuse)
    assert part != build_schedule(picks, reuse)[: len(part)]


@given(items, st.integers(1, 4), st.sampled_from(["runs", "global"]))
def test_schedules_keep_the_multiset_and_start_every_run_fresh(picks, interval, grouping):
    steps = build_schedule(picks, Reuse(interval, grouping))
    assert sorted(s.item for s in steps) == sorted(picks)
    for before, step in zip((None, *steps), steps, strict=False):
        if before is None or before.item != step.item:
            assert step.fresh


@pytest.mark.parametrize("bad", [lambda: Reuse(0), lambda: Reuse(2, "sideways"), lambda: Reuse(2, mode="x")])
def test_impossible_reuse_is_refused(bad):
    with pytest.raises(UsageError):
        bad()
