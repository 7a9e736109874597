"""The parts of the compiled backend, each by itself: attention, buckets, update, shadow, copies."""

from __future__ import annotations

import pytest
import torch

from ttft_bench.engine.buckets import choose_bucket
from ttft_bench.engine.compiled.attention import is_plainly_causal
from ttft_bench.engine.compiled.road import copy_all
from ttft_bench.engine.compiled.rules import Update, dithered


def test_windowed_attention_keeps_its_mask():
    from transformers import GPT2Config, MistralConfig, Qwen2Config

    for config, plain in (
        (GPT2Config(), True),
        (Qwen2Config(), True),
        (Qwen2Config(use_sliding_window=True, sliding_window=8), False),
        (MistralConfig(sliding_window=8), False),
    ):
        config._attn_implementation = "sdpa"
        assert is_plainly_causal(config) is plain
        config._attn_implementation = "eager"
        assert not is_plainly_causal(config)


def test_buckets_are_few_and_the_smallest_that_fits():
    assert [choose_bucket(n, 1024) for n in (1, 128, 129, 1000, 1024)] == [128, 128, 256, 1024, 1024]
    assert [choose_bucket(n, 8192) for n in (1025, 2048, 2049, 5000, 8192)] == [1280, 2048, 2560, 5120, 8192]
    assert choose_bucket(90, 100) == 100, "never more than the model takes"
    assert len({choose_bucket(n, 8192) for n in range(1, 8193)}) == 8 + 3 * 4
    for bad in (0, 101):
        with pytest.raises(ValueError):
            choose_bucket(bad, 100)


def test_moments_count_as_zero_at_the_first_step():
    from ttft_bench.engine.compiled.flat import FlatGroup
    from ttft_bench.engine.settings import parse_optimizer

    for spec in ("adam", "sgd[momentum=0.9]"):
        results = []
        for junk in (0.0, float("nan")):
            group = FlatGroup([torch.nn.Parameter(torch.arange(5.0))], torch.float32)
            group.gradient.fill_(2.0)
            group.first.fill_(junk)
            group.second.fill_(junk)
            update = Update(parse_optimizer(spec), [group], None, lambda function: function)
            update.lr.fill_(0.1)
            update()
            update()
            results.append(group.weights.clone())
        assert torch.equal(*results) and results[0].isfinite().all()


def test_a_dithered_shadow_keeps_the_mean_of_steps_that_rounding_to_the_nearest_loses():
    generator = torch.Generator().manual_seed(0)
    before = torch.randint(1, 16, (400_000,), generator=generator) * 0.0078125  # bf16 values all
    after, moment = before + 2e-5, torch.randn(before.shape, generator=generator) * 1e-6
    found = dithered(after, moment)
    assert torch.equal(found.bfloat16().float(), found) and torch.equal(before.bfloat16().float(), before)
    assert torch.equal(after.bfloat16().float(), before), "to the nearest, no weight moves"
    assert float((found - before).mean()) == pytest.approx(2e-5, rel=0.03)
    assert torch.equal(dithered(after, moment), found) and not torch.equal(dithered(after, moment * 2), found)
    places = (after.view(torch.int32) & 0xFFFF).float() / 65536
    for place in places.unique()[:8]:
        here = places == place
        assert float((found != before)[here].float().mean()) == pytest.approx(float(place), abs=0.02)
    odd = torch.tensor([0.0, -0.0, float("inf"), float("-inf"), float("nan"), -1.5])
    assert torch.equal(dithered(odd, odd).nan_to_num(7.0), odd.nan_to_num(7.0))


def test_copies_of_mixed_kinds_arrive():
    targets = [torch.zeros(2, 3), torch.zeros(3, 2), torch.zeros(2, dtype=torch.bfloat16), torch.ones(1)]
    sources = [torch.rand(2, 3), torch.rand(2, 3).t(), torch.ones(2), None]
    copy_all(targets, sources)
    assert torch.equal(targets[0], sources[0]) and torch.equal(targets[1], sources[1])
    assert targets[2].tolist() == [1, 1] and targets[3].tolist() == [1]
