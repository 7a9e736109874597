"""Rows of reuse that changed nothing are left out of a report, and only those."""

from __future__ import annotations

import paired_rows
from ttft_bench.report.idle import without_idle_reuse


def row(interval, prompt=0, steps=4, fresh=4, **changes):
    return paired_rows.row("sift", prompt, 90.0, reuse_interval=interval, steps=steps, fresh_steps=fresh, **changes)


def test_all_or_nothing_over_the_whole_run():
    plain = [row(1, prompt) for prompt in (0, 1)]
    idle = [row(2, prompt) for prompt in (0, 1)]
    assert without_idle_reuse([*plain, *idle]) == plain
    used = [idle[0], row(2, 1, fresh=3)]
    assert without_idle_reuse([*plain, *used]) == [*plain, *used], "one prompt is enough, and then all are shown"
    assert without_idle_reuse([*plain, *idle, row(3, 1, fresh=2)]) == [*plain, row(3, 1, fresh=2)]


def test_fewer_steps_are_a_change_and_so_is_what_has_no_counterpart():
    plain = [row(1)]
    assert without_idle_reuse([*plain, row(2, reuse_mode="skip", steps=3, fresh=3)]) != plain
    for other in (row(2, lr=1e-3), row(2, precision="bf16"), row(2, 1), row(2, budget=8)):
        assert without_idle_reuse([*plain, other]) == [*plain, other]
    assert without_idle_reuse([row(2)]) == [row(2)], "a run with reuse only"


def test_failures_that_reuse_shares_are_idle_and_others_are_shown():
    failed = {"status": "failed", "steps": None, "fresh": None}
    assert without_idle_reuse([row(1, **failed), row(2, **failed)]) == [row(1, **failed)]
    assert len(without_idle_reuse([row(1), row(2, **failed)])) == 2


def test_rows_that_do_not_tell_their_steps_stay():
    rows = [row(1, steps=None), row(2, steps=None)]
    assert without_idle_reuse(rows) == rows
