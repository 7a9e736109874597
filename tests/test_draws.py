"""Torch's global generators: seeded for a while, one thread at a time, those of other devices never."""

from __future__ import annotations

import copy
import threading
import time

import numpy as np
import pytest
import torch

from tiny import write_model
from ttft_bench.draws import drawing
from ttft_bench.engine.finetune import Engine, Settings
from ttft_bench.engine.model import load_model
from ttft_bench.engine.trainable import select_trainable
from ttft_bench.lab import tuned
from ttft_bench.lab.tuned import generate
from ttft_bench.selector import make_problem
from ttft_strategies.activeft import ActiveFT

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


def test_of_several_devices_the_own_one_is_seeded_and_put_back(monkeypatch):
    devices = tuple(torch.Generator().manual_seed(index) for index in (1, 2))
    states = [generator.get_state() for generator in devices]
    monkeypatch.setattr(torch.cuda, "default_generators", devices)
    with drawing(5, torch.device("cuda:1")):
        assert [generator.initial_seed() for generator in devices] == [1, 5]
        torch.rand(1, generator=devices[1])
    assert all(torch.equal(generator.get_state(), state) for generator, state in zip(devices, states, strict=True))


def drop_out(model):
    with Engine(model, Settings(dropout=True)).adaptation(3):
        pass


def adapters(model):
    select_trainable(copy.deepcopy(model.module), "lora[r=2]")


def activeft(model):
    problem = make_problem(np.eye(3)[0], np.eye(3), 2)
    with pytest.raises(ZeroDivisionError):  # the stand-in's, which comes after the seed
        ActiveFT(function="random").select(problem, np.random.default_rng(0))


@pytest.mark.parametrize("draw", [drop_out, adapters, activeft, lambda model: generate(model, "abc", 2, 1.0)])
def test_no_generator_of_another_device_is_seeded(model, monkeypatch, draw):
    monkeypatch.setattr("ttft_strategies.activeft._import", lambda _: lambda **__: 1 / 0)
    for module in (torch.cuda, torch.mps, torch.xpu):
        for name in ("manual_seed_all", "manual_seed"):
            monkeypatch.setattr(module, name, lambda _: pytest.fail("seeded a device that is not the model's"), False)
    before = torch.get_rng_state()
    draw(model)
    assert torch.equal(torch.get_rng_state(), before)


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
