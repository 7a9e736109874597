"""The built-in strategies, seen by ``ttft_bench`` only through entry points, like anybody's.

They import nothing of the framework but the interface (:mod:`ttft_bench.selector`) and the errors.
The numerical parts (``_gram``, ``_simplex``, ``_integerize``) are pure NumPy and testable alone.
"""
