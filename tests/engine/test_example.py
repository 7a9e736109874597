"""The program in the docstring of the engine runs as it stands."""

from __future__ import annotations

import textwrap

import torch

import ttft_bench.engine
from ttft_bench.engine.score import training_sequence


def test_the_documented_example_adapts_generates_and_restores(tiny_model_dir):
    program = ttft_bench.engine.__doc__.partition("in full::\n")[2].partition("\nA model has")[0]
    assert program.count('"MODEL"') == program.count(".adapted(") == program.count(".generate(") == 1
    names = {}
    exec(textwrap.dedent(program).replace('"MODEL"', repr(str(tiny_model_dir))), names)
    assert names["after"] != names["before"]
    prompt, answer = names["prompt"], names["answer"][0]
    assert torch.equal(prompt, training_sequence(names["model"], "The cups are", 256))
    assert torch.equal(answer[: len(prompt)], prompt) and len(prompt) < len(answer) <= len(prompt) + 8
