"""The cache folder as its user sees it: what it holds, how much, and removing some of it.

What is in it was written by ``assets`` and ``corpus``, and can be made again (assets from a package index, the rest
from them). Removing keeps four promises:

* nothing outside the cache folder is touched: a link is never followed, not even one that stands for a whole kind;
* nothing that this project did not make is touched, should the folder hold other things too: every kind knows what its
  entries look like (:mod:`ttft_bench.cache.kinds`);
* nothing is taken from a process that is making it: entries whose lock is held are left;
* an entry vanishes under its name at once, so that no reader finds half of it.
"""

from __future__ import annotations

from ttft_bench.cache.inventory import Entry, Holding, contents
from ttft_bench.cache.kinds import KINDS, Kind
from ttft_bench.cache.removal import Choice, Outcome, choose, clear

__all__ = ["KINDS", "Choice", "Entry", "Holding", "Kind", "Outcome", "choose", "clear", "contents"]
