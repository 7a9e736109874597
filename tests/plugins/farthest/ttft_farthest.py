import numpy as np

from ttft_bench.selector import Selection, Selector


class Farthest(Selector):
    """The N pool items farthest from the prompt, farthest first."""

    nested, repeats = True, False

    def select(self, problem, rng):
        similarity = (problem.pool * problem.target).sum(axis=1)
        return Selection(np.argsort(similarity, kind="stable")[: problem.budget])
