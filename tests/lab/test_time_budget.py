"""A time budget becomes a number of steps by the measured pace; a slower machine stops early, never grossly late."""

from __future__ import annotations

import pytest

from notes import PROMPT
from ttft_bench.engine.model import state_hash
from ttft_bench.engine.pace import Pace
from ttft_bench.engine.schedule import Reuse, Step, build_schedule
from ttft_bench.lab import planning
from ttft_bench.lab.timing import MOST_STEPS, TRIES, fit_steps


def test_steps_between_measured_lengths_lie_on_a_line_and_beyond_in_proportion():
    pace = Pace((10, 30), (1.0, 3.0), 0.5)
    assert [pace.step_s(Step(0, fresh=True), n) for n in (5, 10, 20, 30, 60)] == [1.0, 1.0, 2.0, 3.0, 6.0]
    steps = build_schedule(["a", "a", "b"], Reuse(2))
    assert pace.total_s(steps, {"a": 10, "b": 30}.__getitem__) == 1.0 + 0.5 + 3.0


@pytest.mark.parametrize(("budget_s", "steps"), [(1.0, 10), (0.95, 9), (0.1, 1), (7.0, 70), (1e9, MOST_STEPS)])
def test_the_largest_number_that_fits(budget_s, steps):
    asked = []

    def ask(n):
        asked.append(n)
        return n * 0.1 - 1e-9, n, f"{n} picks"

    assert fit_steps(budget_s, 0.1, ask)[::2] == (steps, f"{steps} picks")
    assert len(asked) <= TRIES


@pytest.mark.parametrize("guessed_s", [1e-4, 0.02, 0.5, 30.0])
def test_a_bad_first_guess_costs_tries_not_the_budget(guessed_s):
    steps, seconds, _ = fit_steps(2.0, guessed_s, lambda n: (0.03 + 0.05 * n, n, None))
    assert 20 <= steps <= 39 and seconds <= 2.0


@pytest.mark.parametrize(("guessed_s", "questions"), [(5.0, [1]), (1e-5, [MOST_STEPS, 1])])
def test_one_step_is_taken_even_if_it_does_not_fit_and_nothing_is_asked_twice(guessed_s, questions):
    asked = []
    assert fit_steps(0.1, guessed_s, lambda n: (asked.append(n) or 5.0 * n, n, None)) == (1, 5.0, None)
    assert asked == questions


def test_a_strategy_that_has_no_more_to_offer_is_not_asked_on():
    asked = []

    def ask(n):
        asked.append(n)
        return 0.1 * min(n, 4), min(n, 4), None

    assert fit_steps(1.0, 0.1, ask)[1] == pytest.approx(0.4) and len(asked) == 1


class Clock:
    """Time that passes only when a step is taken: so long as it should take."""

    def __init__(self, lab, monkeypatch, fresh_s: float, reused_s: float) -> None:
        self.now, self.fresh_s, backend = 0.0, fresh_s, lab._engine.backend
        gradient, update = backend.gradient, backend.update

        def timed_gradient(*args):
            self.now += self.fresh_s - reused_s
            return gradient(*args)

        def timed_update(*args):
            self.now += reused_s
            return update(*args)

        monkeypatch.setattr(backend, "gradient", timed_gradient)
        monkeypatch.setattr(backend, "update", timed_update)
        monkeypatch.setattr("ttft_bench.engine.clock.time.perf_counter", lambda: self.now)


def test_a_lab_takes_as_many_steps_as_the_measured_pace_allows(make_lab, monkeypatch):
    lab = make_lab(budget=None, budget_s=1.0, strategy="knn-repeat", corpus=["a note", "b note"], reuse=2)
    clock = Clock(lab, monkeypatch, fresh_s=0.25, reused_s=0.125)
    with lab.adapted(PROMPT) as tuned:
        timing = tuned.timing
    assert timing.finetune_s == timing.predicted_s <= 1.0 == timing.budget_s
    assert timing.steps == len(tuned.selection.order) == tuned.selection.budget > 1 and tuned.notes == ()
    clock.fresh_s = 1.0  # the machine is busy now: what was measured before no longer holds
    with pytest.warns(UserWarning, match=r"stopped after \d of \d steps"), lab.adapted(PROMPT) as slower:
        assert 1 <= slower.timing.steps < timing.steps
    assert slower.timing.finetune_s <= 1.1 + 1.0, "at most one slow step beyond what is allowed"


def test_one_step_too_long_for_the_budget_is_taken_with_a_word(make_lab, monkeypatch):
    lab = make_lab(strategy="knn")
    Clock(lab, monkeypatch, fresh_s=0.5, reused_s=0.1)
    words = r"one step takes about 0.5 s.*more than the budget of 0.2 s"
    with pytest.warns(UserWarning, match=words), lab.adapted(PROMPT, budget_s=0.2) as tuned:
        assert tuned.timing.steps == 1
    with lab.adapted(PROMPT, budget=3) as tuned:
        assert tuned.timing.steps == 3 and tuned.timing.budget_s is None


def test_the_pace_is_measured_once_and_leaves_no_trace(make_lab, tiny_model, monkeypatch):
    measured = []
    lab = make_lab(budget=None, budget_s=0.05)
    real = planning.measure_pace
    monkeypatch.setattr(planning, "measure_pace", lambda *args: measured.append(real(*args)) or measured[-1])
    before = state_hash(tiny_model.module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # how fast this machine is now is not what is tested
        for prompt in (PROMPT, "theta iota"):
            with lab.adapted(prompt) as tuned:
                assert tuned.timing.steps >= 1
    (pace,) = measured
    assert list(pace.lengths) == sorted(set(pace.lengths)) and all(second > 0 for second in pace.fresh_s)
    assert state_hash(tiny_model.module) == before
