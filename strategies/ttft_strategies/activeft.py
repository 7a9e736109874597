"""Acquisition functions of the ``activeft`` library, run as strategies."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass
from math import sqrt
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ttft_bench.errors import BrokenPluginError
from ttft_bench.selector import Problem, Selection, Selector
from ttft_strategies.sift import check_noise


@dataclass(frozen=True)
class _Function:
    """Where an acquisition function is, what it needs, and what it may do."""

    module: str
    class_name: str
    targeted: bool = True
    noisy: bool = True
    repeats: bool = True
    stochastic: bool = False


_VTL = _Function("vtl", "VTL")
#: Those that run on embeddings alone. Stochastic are also those that begin with a tie among all items, which
#: the library's shuffle decides.
FUNCTIONS = {
    "sift": _VTL,
    "vtl": _VTL,
    "lazy-vtl": _Function("lazy_vtl", "LazyVTL"),
    "itl": _Function("itl", "ITL"),
    "ctl": _Function("ctl", "CTL"),
    "undirected-itl": _Function("undirected_itl", "UndirectedITL", targeted=False, stochastic=True),
    "undirected-vtl": _Function("undirected_vtl", "UndirectedVTL", targeted=False),
    "uncertainty-sampling": _Function(
        "uncertainty_sampling", "UncertaintySampling", targeted=False, repeats=False, stochastic=True
    ),
    "cosine-similarity": _Function("cosine_similarity", "CosineSimilarity", noisy=False, repeats=False),
    "max-dist": _Function("max_dist", "MaxDist", targeted=False, noisy=False, stochastic=True),
    "random": _Function("random", "Random", targeted=False, noisy=False, repeats=False, stochastic=True),
}


@dataclass(frozen=True, repr=False)
class ActiveFT(Selector):
    """An acquisition function of the activeft library, as that library computes it.

    For comparison with ``sift``, ``itl`` and ``ctl``, and for those functions that only the library has
    (Hübotter et al., github.com/jonhue/activeft, written for version 0.1.1). Functions: sift (another name
    for vtl), vtl, lazy-vtl (SIFT-Fast, approximate), itl, ctl, undirected-itl, undirected-vtl,
    uncertainty-sampling, cosine-similarity, max-dist, random. All query rows are given to it as targets. The
    others of the library need a classifier or, in 0.1.1, fail: mmitl and itl-noiseless always, kmeans++ on
    duplicates.

    What it does otherwise is kept away here: the pool is given as it is (no second retrieval, no query for
    the opposite direction), in one mini-batch of any size (beyond 1000 the library would select in stages),
    without loader processes, with a fresh acquisition function for each prompt (no queue of the prompt
    before), and the global generators are put back as they were. It computes in float32 with a
    (K + m) x (K + m) matrix, and breaks ties among duplicates by a shuffle, here one of fixed seed.

    Objective: that of the function.

    Cost: O(N (K + m)^2) time and O((K + m)^2) memory. Use it as the peer, not in production.

    Args:
        function: name of the acquisition function.
        lam: observation noise, above 0; the library's ``llambda``, its ``noise_std`` squared.
    """

    function: str = "sift"
    lam: float = 0.2

    requires: ClassVar[tuple[str, ...]] = ("activeft",)

    def __post_init__(self) -> None:
        check_noise(self.lam)
        if self.function not in FUNCTIONS:
            raise ValueError(f"function must be one of {', '.join(FUNCTIONS)}, got {self.function!r}")
        # What the class declares holds for its defaults; this instance declares what holds for it.
        object.__setattr__(self, "repeats", FUNCTIONS[self.function].repeats)
        object.__setattr__(self, "stochastic", FUNCTIONS[self.function].stochastic)

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Let the library pick N.

        Raises:
            BrokenPluginError: ``activeft`` is not installed, or lacks the function.
        """
        wanted = FUNCTIONS[self.function]
        make = _import(wanted)
        import torch

        size = problem.size
        steps = problem.budget if self.repeats else min(problem.budget, size)
        if size == 1:  # nothing to choose, and lazy-vtl would fail on its empty queue
            return Selection(np.zeros(steps, dtype=np.int64))
        settings: dict[str, Any] = {"num_workers": 0, "mini_batch_size": max(size, 2 * steps) + 1}
        if wanted.targeted:
            settings["target"] = torch.tensor(problem.query, dtype=torch.float32)
        if wanted.noisy:
            settings["noise_std"] = sqrt(self.lam)
        seed = int(rng.integers(2**31)) if self.stochastic else 0
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU too
            picks, _ = make(**settings).select(
                batch_size=steps, model=None, dataset=_Pool(problem.pool), device=torch.device("cpu")
            )
        return Selection(picks.numpy().astype(np.int64))


class _Pool:
    """The pool in the form of a dataset; torch is imported by then."""

    def __init__(self, pool: NDArray[np.float32]) -> None:
        import torch

        self.rows = torch.tensor(pool, dtype=torch.float32)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.rows[index]


def _import(function: _Function) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of faiss, which the library imports
            module = importlib.import_module(f"activeft.acquisition_functions.{function.module}")
    except ModuleNotFoundError as error:
        missing = {"faiss": "faiss-cpu"}.get(error.name or "", (error.name or "activeft").partition(".")[0])
        raise BrokenPluginError(
            f"strategy 'activeft' needs {missing}, which is not installed: pip install {missing}"
        ) from error
    try:
        return getattr(module, function.class_name)
    except AttributeError as error:
        raise BrokenPluginError(
            f"the installed activeft has no {function.class_name}: pip install 'activeft==0.1.1'"
        ) from error
