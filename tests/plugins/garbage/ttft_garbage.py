import sys
import time

import numpy as np

from ttft_bench.selector import Selection, Selector


class TooFew(Selector):
    """One pick fewer than asked for."""

    def select(self, problem, rng):
        return Selection(np.arange(problem.budget - 1))


class OutOfRange(Selector):
    """Picks behind the end of the pool."""

    def select(self, problem, rng):
        return Selection(np.full(problem.budget, problem.size))


class NanWeights(Selector):
    """Weights that are no numbers."""

    def select(self, problem, rng):
        return Selection(np.arange(problem.budget), weights=np.full(problem.size, np.nan))


class ChangesInput(Selector):
    """Writes into the pool it was given."""

    def select(self, problem, rng):
        problem.pool[:] = 0
        return Selection(np.arange(problem.budget))


class ForEver(Selector):
    """Answers the first call, which no one times, and none after it."""

    calls = 0

    def select(self, problem, rng):
        ForEver.calls += 1
        if ForEver.calls > 1:
            time.sleep(600)
        return Selection(np.arange(problem.budget))


class Exits(Selector):
    """Ends the program, with success."""

    def select(self, problem, rng):
        sys.exit(0)
