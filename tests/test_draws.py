"""Torch's global generators: seeded for a while, one thread at a time, those of other devices never."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from tiny import write_model
from ttft_bench.draws import drawing
from ttft_bench.engine.model import load_model
from ttft_bench.lab import tuned
from ttft_bench.lab.tuned import generate

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_model(tmp_path_factory.mktemp("draws") / "m"), device="cpu")


def test_draws_are_those_of_the_seed_and_the_generator_is_as_found():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="by hand"), drawing(5, CPU):
        found = torch.rand(3)
        raise RuntimeError("by hand")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(found, torch.rand(3, generator=torch.Generator().manual_seed(5)))


def test_one_thread_draws_at_a_time_and_all_get_what_they_would_alone(model, monkeypatch):
    alone = generate(model, "abc", 6, temperature=1.0, seed=7)
    real, inside, most, answers = model.module.generate, [], [], []

    def slow(*args, **kwargs):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        written = real(*args, **kwargs)
        inside.pop()
        return written

    monkeypatch.setattr(model.module, "generate", slow)
    before = torch.get_rng_state()
    threads = [
        threading.Thread(target=lambda: answers.append(generate(model, "abc", 6, temperature=1.0, seed=7)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1] and answers == [alone] * 3
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_is_forked_where_nothing_is_drawn(model, monkeypatch):
    monkeypatch.setattr(tuned, "drawing", lambda *_: pytest.fail("forked"))
    assert generate(model, "abc", 3) == generate(model, "abc", 3)
