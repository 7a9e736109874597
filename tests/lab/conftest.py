"""Labs over tiny models and twenty short notes."""

from __future__ import annotations

import pytest

from fake_embedder import HashingEmbedder
from notes import notes
from tiny import write_model
from ttft_bench.engine.model import load_model
from ttft_bench.lab import Lab


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("lab-cache")
    monkeypatch.setenv("TTFT_BENCH_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """One model for all labs of the tests: each restores it."""
    return load_model(write_model(tmp_path_factory.mktemp("lab") / "gpt2"), device="cpu")


@pytest.fixture
def make_lab(tiny_model):
    def make(**changes) -> Lab:
        settings = {
            "model": tiny_model,
            "corpus": notes(),
            "strategy": "sift[lam=0.2]",
            "budget": 6,
            "embedder": HashingEmbedder(),
            "max_tokens": 48,
            "lr": 1e-3,
            **changes,
        }
        return Lab(**settings)

    return make


@pytest.fixture
def lab(make_lab) -> Lab:
    return make_lab()
