"""What the checks of :mod:`ttft_bench.checks` need: small problems, states to compare, an exact optimum."""

from __future__ import annotations

import hashlib
import pickle
import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ttft_bench.checks.program import Program
from ttft_bench.seeds import derive_rng
from ttft_bench.selector import Problem, Selector, make_problem

#: Rows of a sample pool.
FULL = 24
_DIMENSIONS = 10


def sample(budget: int, *, size: int = FULL, queries: int = 1, seed: int = 0, permute: bool = False) -> Problem:
    """A generic pool around a generic query, nearest first unless permuted; no ties."""
    rng = derive_rng("contract problem", seed)
    query = rng.normal(size=(queries, _DIMENSIONS))
    query /= np.linalg.norm(query, axis=1, keepdims=True)
    pool = query.mean(axis=0) + rng.normal(size=(size, _DIMENSIONS)) * 0.4
    pool /= np.linalg.norm(pool, axis=1, keepdims=True)
    pool = pool[np.argsort(-pool @ query.mean(axis=0), kind="stable")]
    return make_problem(query, rng.permutation(pool) if permute else pool, budget)


def with_duplicates(budget: int) -> Problem:
    """Every row twice."""
    plain = sample(budget, size=FULL // 2)
    return make_problem(plain.query, np.repeat(plain.pool, 2, axis=0), budget)


def _identical(budget: int) -> Problem:
    plain = sample(budget)
    return make_problem(plain.query, np.repeat(plain.pool[:1], FULL, axis=0), budget)


def _containing_query(budget: int) -> Problem:
    plain = sample(budget)
    return make_problem(plain.query, np.vstack([plain.query, plain.pool[1:]]), budget)


def _all_query(budget: int) -> Problem:
    plain = sample(budget)
    return make_problem(plain.query, np.repeat(plain.query, FULL, axis=0), budget)


def _opposite(budget: int) -> Problem:
    plain = sample(budget)
    return make_problem(plain.query, -plain.pool, budget)


#: Pools that happen and that trip solvers: ties everywhere, an exact reconstruction, nothing near.
ODDITIES: dict[str, Callable[[int], Problem]] = {
    "identical rows": _identical,
    "query in the pool": _containing_query,
    "every row is the query": _all_query,
    "every row points away": _opposite,
}


def digest(problem: Problem) -> str:
    """Hash of every array of a problem."""
    arrays = (problem.query, problem.pool, problem.ids, problem.n_tokens, problem.target)
    return hashlib.sha256(b"|".join(array.tobytes() for array in arrays)).hexdigest()


def selector_state(selector: Selector) -> dict[str, Any]:
    """What ``select`` may not change about a selector, in comparable form."""
    state: dict[str, Any] = {"repr": repr(selector)}
    for name, value in vars(selector).items():
        try:
            state[name] = pickle.dumps(value)
        except Exception:
            state[name] = repr(value)
    return state


def generator_states() -> dict[str, bytes]:
    """State of every global generator; torch's only if somebody imported torch."""
    states = {
        "random": pickle.dumps(random.getstate()),
        "numpy.random": pickle.dumps(np.random.get_state()),  # noqa: NPY002 (watched, not used)
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        states["torch"] = torch.random.get_rng_state().numpy().tobytes()
    return states


def reference_optimum(problem: Problem) -> tuple[float, float]:
    """Minimum of ``||q - P^T w||^2`` over the simplex, and how far it may be above the true one."""
    return Program().optimum(problem)
