"""One call of a strategy: the budget that it may get, the clock around it, the check of what it answers.

The worker process of a sweep and a :class:`ttft_bench.lab.Lab` both come here, so that the same strategy, prompt, pool
and seed give the same picks wherever they are asked for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from ttft_bench.seeds import derive_rng
from ttft_bench.selector import Problem, Selection, Selector, make_problem, validate_selection


@dataclass(frozen=True)
class Call:
    """One ``select`` call: plain arrays, and the coordinates of its random draws."""

    query: np.ndarray[Any, Any]
    pool: np.ndarray[Any, Any]
    budget: int
    ids: np.ndarray[Any, Any]
    n_tokens: np.ndarray[Any, Any]
    seed: tuple[str | int, ...]


@dataclass(frozen=True)
class Picked:
    """What came of a call.

    Attributes:
        selection: the answer, checked.
        problem: what the strategy saw.
        select_s: seconds of ``select`` alone.
        remark: what the user should know; empty for nothing.
    """

    selection: Selection
    problem: Problem
    select_s: float
    remark: str


def make_call(problem: Problem, spec: str, prompt_id: str, seed: int) -> Call:
    """The call that answers ``problem``.

    Args:
        problem: pool and budget.
        spec: of the strategy.
        prompt_id: key of the prompt.
        seed: of the run.
    """
    # The budget is not among the coordinates: a nested stochastic strategy must draw alike for all of them.
    coordinates = ("select", spec, prompt_id, seed)
    return Call(problem.query, problem.pool, problem.budget, problem.ids, problem.n_tokens, coordinates)


def pick(selector: Selector, call: Call) -> Picked:
    """Ask a strategy. A strategy that repeats nothing gets a budget of no more than the pool holds.

    Raises:
        ContractError: the answer breaks the contract.
        Exception: whatever the strategy raises.
    """
    budget = call.budget if selector.repeats else min(call.budget, len(call.pool))
    problem = make_problem(call.query, call.pool, budget, call.ids, call.n_tokens)
    rng = derive_rng(*call.seed)
    start = time.perf_counter()
    selection = selector.select(problem, rng)
    select_s = time.perf_counter() - start
    selection = validate_selection(selection, problem, selector)
    remark = "" if budget == call.budget else f"budget {call.budget} capped at the pool of {budget}: no repeats"
    return Picked(selection, problem, select_s, remark)


__all__ = ["Call", "Picked", "make_call", "pick"]
