import no_such_module_of_ttft  # noqa: F401

from ttft_bench.selector import Selector


class Needy(Selector):
    """Never gets this far."""
