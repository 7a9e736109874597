"""The adapter of activeft: with a stand-in for the library everywhere, with the library itself."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ttft_bench.errors import BrokenPluginError, SpecError
from ttft_bench.registry import build_selector
from ttft_bench.selector import Problem, Selector, make_problem
from ttft_strategies.activeft import FUNCTIONS, ActiveFT
from ttft_strategies.sift import SIFT
from ttft_strategies.sift_lazy import SIFTLazy
from ttft_strategies.transductive import CTL, ITL


def _problem(budget: int, queries: int = 1, size: int = 30, seed: int = 0) -> Problem:
    rng = np.random.default_rng(seed)
    query = rng.normal(size=(queries, 12))
    return make_problem(query, query.mean(axis=0) + rng.normal(size=(size, 12)), budget)


class StandIn:
    """What the adapter uses of an acquisition function; picks at random, from the global generator."""

    made: list[dict[str, Any]] = []

    def __init__(self, **settings: Any) -> None:
        self.made.append(settings)

    def select(self, batch_size: int, model: None, dataset: Any, device: Any) -> tuple[Any, None]:
        import torch

        assert dataset[0].shape == (12,)
        return torch.randint(len(dataset), (batch_size,)), None


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    for name in ("activeft", "activeft.acquisition_functions"):
        module = ModuleType(name)
        module.__path__ = []
        monkeypatch.setitem(sys.modules, name, module)
    for function in FUNCTIONS.values():
        module = ModuleType(f"activeft.acquisition_functions.{function.module}")
        setattr(module, function.class_name, StandIn)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    StandIn.made.clear()
    return StandIn.made


def test_settings_keep_the_traps_away(stand_in: list[dict[str, Any]]) -> None:
    ActiveFT(lam=0.25).select(_problem(5, queries=2, size=1500), np.random.default_rng(0))
    ActiveFT(function="random").select(_problem(5), np.random.default_rng(0))
    targeted, plain = stand_in
    assert targeted["target"].shape == (2, 12)
    assert (targeted["noise_std"], targeted["num_workers"]) == (0.5, 0)
    assert targeted["mini_batch_size"] > 1500
    assert set(plain) == {"num_workers", "mini_batch_size"}


def test_global_generators_are_put_back_and_answers_repeat(stand_in: list[dict[str, Any]]) -> None:
    import torch

    before = torch.random.get_rng_state()
    fixed = [ActiveFT().select(_problem(9), np.random.default_rng(seed)).positions for seed in (0, 1)]
    drawn = [ActiveFT(function="max-dist").select(_problem(9), np.random.default_rng(s)).positions for s in (0, 1, 0)]
    assert torch.equal(before, torch.random.get_rng_state())
    assert np.array_equal(fixed[0], fixed[1])
    assert np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1])


def test_what_an_instance_declares_follows_its_function() -> None:
    declared = {name: (ActiveFT(function=name).repeats, ActiveFT(function=name).stochastic) for name in FUNCTIONS}
    assert declared["sift"] == (True, False)
    assert declared["random"] == (False, True)
    assert declared["cosine-similarity"] == (False, False)
    assert (ActiveFT.repeats, ActiveFT.stochastic) == declared[ActiveFT().function]


def test_an_unknown_function_is_refused() -> None:
    with pytest.raises(SpecError, match="function must be one of sift, vtl"):
        build_selector("activeft[function=badge]")


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "activeft"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "activeft", None)
    with pytest.raises(BrokenPluginError, match=r"needs activeft.*: pip install activeft"):
        ActiveFT().select(_problem(3), np.random.default_rng(0))


def test_another_version_of_the_library_is_named(stand_in: list[dict[str, Any]]) -> None:
    del sys.modules["activeft.acquisition_functions.vtl"].VTL
    with pytest.raises(BrokenPluginError, match=r"has no VTL: pip install 'activeft==0\.1\.1'"):
        ActiveFT().select(_problem(3), np.random.default_rng(0))


@pytest.mark.parametrize("lam", [0.01, 0.1, 0.2, 1.0])
@pytest.mark.parametrize(
    ("function", "cls", "queries"),
    [("sift", SIFT, 1), ("sift", SIFT, 3), ("itl", ITL, 1), ("itl", ITL, 3), ("ctl", CTL, 1), ("ctl", CTL, 3),
     ("lazy-vtl", SIFTLazy, 1)],
)  # fmt: skip
def test_ours_pick_the_vectors_that_the_library_picks(function: str, cls: Any, queries: int, lam: float) -> None:
    for seed in range(5):
        problem = _problem(10, queries, size=60, seed=seed)
        ours: Selector = cls(lam=lam)
        theirs = ActiveFT(function=function, lam=lam).select(problem, np.random.default_rng(0)).positions
        picks = ours.select(problem, np.random.default_rng(0)).positions
        assert np.array_equal(problem.pool[picks], problem.pool[theirs])
