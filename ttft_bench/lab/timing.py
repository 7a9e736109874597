"""What took how long, and how many steps a time budget has room for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Answer = TypeVar("Answer")

#: Most steps that a time budget may become: as many as a suite may ask for.
MOST_STEPS = 10_000
#: Selections that are tried while a number of steps is looked for.
TRIES = 6
#: Training stops before a step that would take it beyond the budget by more than this share of it.
TOLERANCE = 0.1


@dataclass
class Timing:
    """Seconds of one adaptation; each part has a clock of its own.

    Attributes:
        embed_s: the prompt, tokenisation included.
        retrieve_s: its candidates.
        select_s: the strategy's ``select`` alone; with a time budget, the selection that was used.
        prepare_s: candidates counted in tokens, picks tokenised, what their shapes need compiled; with a time budget,
            also the selections that were tried and, once for a Lab, the measuring of a step.
        finetune_s: the training steps.
        restore_s: bringing the weights back; None inside the block.
        steps: taken.
        fresh_steps: how many of them computed a gradient.
        budget_s: seconds of training that were asked for; None with a number of steps.
        predicted_s: what the steps should take by the measured pace; None with a number of steps.
    """

    embed_s: float = 0.0
    retrieve_s: float = 0.0
    select_s: float = 0.0
    prepare_s: float = 0.0
    finetune_s: float = 0.0
    restore_s: float | None = None
    steps: int = 0
    fresh_steps: int = 0
    budget_s: float | None = None
    predicted_s: float | None = None


def fit_steps(
    budget_s: float, step_s: float, ask: Callable[[int], tuple[float, int, Answer]]
) -> tuple[int, float, Answer]:
    """Find a large number of steps that fits into a time budget, in at most :data:`TRIES` selections.

    What a number of steps costs depends on what is selected for it, so it is asked for and its cost is added up.

    Args:
        budget_s: seconds of training.
        step_s: seconds of an ordinary step, for the first guess.
        ask: a number of steps -> seconds they take, how many there really are, and the selection.

    Returns:
        The number of steps, at least 1 though it may not fit, the seconds they take, and their selection.
    """
    fitting, too_many = 0, MOST_STEPS + 1
    best: tuple[int, float, Answer] | None = None
    guess = int(budget_s / step_s) if step_s > 0 else MOST_STEPS
    for _ in range(TRIES):
        guess = min(max(guess, fitting + 1), too_many - 1)
        seconds, there, answer = ask(guess)
        if seconds <= budget_s:
            fitting, best = guess, (guess, seconds, answer)
            if there < guess:  # the strategy has no more to offer
                break
        elif guess == 1:  # not even one fits: it is taken all the same
            return guess, seconds, answer
        else:
            too_many = guess
        if too_many - fitting <= 1:
            break
        guess = int(guess * budget_s / seconds) if seconds > 0 else MOST_STEPS
    if best is None:
        seconds, _, answer = ask(1)
        best = (1, seconds, answer)
    return best


__all__ = ["MOST_STEPS", "TOLERANCE", "TRIES", "Timing", "fit_steps"]
