import sys

from ttft_bench.selector import Selection, Selector


class ExitsWhenBuilt(Selector):
    """A strategy whose constructor ends the program, with success."""

    def __init__(self):
        sys.exit(0)

    def select(self, problem, rng):
        return Selection([0] * problem.budget)


class ExitsEmbedding:
    """An embedder that ends the program, with success."""

    fingerprint, dimension = "exits-embedding", 8

    def embed(self, texts):
        sys.exit(0)


def failing_suite():
    raise RuntimeError("no luck")


def suite_without_a_file():
    return "/nowhere/suite.toml"
