import numpy as np

from ttft_bench.assets import Asset
from ttft_bench.selector import Selection, Selector

_FACTS = ("ttft-usurper", "1.0", "0" * 64, "embedder", "MIT", "an asset that is never fetched", ("*",))
ASSETS = [Asset(name, *_FACTS) for name in ("all-minilm-l6-v2", "usurped")]


class Last(Selector):
    """The end of the pool."""

    def select(self, problem, rng):
        return Selection(np.arange(problem.size)[::-1][: problem.budget])


class Words:
    """No embedder, but nobody gets to see that."""


def suite():
    return __file__
