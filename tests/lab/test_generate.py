"""Continuations follow the model's probabilities alone, not the generation settings that it came with."""

from __future__ import annotations

import pytest
import torch
from transformers import GenerationConfig

from tiny import write_model
from ttft_bench.engine.model import load_model
from ttft_bench.engine.score import tokenize
from ttft_bench.lab.tuned import generate


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_model(tmp_path_factory.mktemp("generate") / "m"), device="cpu")


def test_every_token_can_be_drawn(model, monkeypatch):
    """Where all 257 tokens are about equally likely, four draws of five are not among the 50 likeliest."""
    found = []
    monkeypatch.setattr(model.tokenizer, "decode", lambda ids, **_: found.extend(ids.tolist()) or "")
    read = tokenize(model, "abc")[0]
    for seed in range(20):
        generate(model, "abc", 1, temperature=1e6, seed=seed)
    with torch.no_grad():
        logits = model.module(input_ids=torch.tensor([[model.start_id, *read]])).logits[0, -1]
    assert len(found) == 20 and len(set(found) - set(logits.topk(50).indices.tolist())) > 8


OWN = {
    "penalties": {"repetition_penalty": 5.0, "no_repeat_ngram_size": 1},
    "drawing": {"do_sample": True, "top_k": 1, "top_p": 0.1, "temperature": 0.1},
    "length": {"min_new_tokens": 9, "max_length": 5},
    "beams": {"num_beams": 3, "early_stopping": True},
    "tokens": {"suppress_tokens": list(range(0, 256, 2))},
}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("name", OWN)
def test_the_models_own_settings_change_no_answer_and_stay(model, monkeypatch, name, temperature):
    expected = generate(model, "abcabc", 12, temperature=temperature, seed=3)
    own = GenerationConfig(eos_token_id=model.module.generation_config.eos_token_id, **OWN[name])
    monkeypatch.setattr(model.module, "generation_config", own)
    assert generate(model, "abcabc", 12, temperature=temperature, seed=3) == expected
    assert model.module.generation_config is own


def test_the_models_own_ends_still_end_a_text(model, monkeypatch):
    written = []
    monkeypatch.setattr(model.tokenizer, "decode", lambda ids, **_: written.append(ids.tolist()) or "")
    generate(model, "abc", 12)
    last = written[0][0]
    monkeypatch.setattr(model.module, "generation_config", GenerationConfig(eos_token_id=[256, last]))
    generate(model, "abc", 12)
    assert written[1] == [last]
