"""The precision that auto stands for is timed, not read from a list of instructions."""

from __future__ import annotations

import pytest
import torch

from ttft_bench.engine import precision
from ttft_bench.engine.model import load_model
from ttft_bench.engine.precision import bf16_lead, resolve_precision
from ttft_bench.errors import UsageError

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _forget():
    bf16_lead.cache_clear()
    yield
    bf16_lead.cache_clear()


@pytest.mark.parametrize(
    ("lead", "expected"), [(6.0, "bf16"), (4.0, "bf16"), (3.5, "fp32"), (1.2, "fp32"), (0.05, "fp32")]
)
def test_bf16_only_where_it_is_clearly_faster(lead, expected, monkeypatch):
    asked = []
    monkeypatch.setattr(precision, "race", lambda *_, **__: asked.append(1) or lead)
    assert resolve_precision("auto", CPU) == resolve_precision("auto", CPU) == expected
    assert len(asked) == 1


def test_a_processor_that_cannot_do_it_takes_fp32(monkeypatch):
    def refused(*_, **__):
        raise RuntimeError("no kernel")

    monkeypatch.setattr(precision, "race", refused)
    assert resolve_precision("auto", CPU) == "fp32"


def test_a_choice_is_a_choice(monkeypatch):
    monkeypatch.setattr(precision, "race", None)
    assert [resolve_precision(name, CPU) for name in ("fp32", "tf32", "bf16")] == ["fp32", "tf32", "bf16"]
    assert resolve_precision("auto", torch.device("mps")) == "fp32"
    with pytest.raises(UsageError, match="precision must be one of auto, fp32, tf32, bf16, got 'fp8'"):
        resolve_precision("fp8", CPU)


def test_the_probe_times_both_and_draws_nothing(tiny_model_dir):
    before = torch.random.get_rng_state()
    threads = torch.get_num_threads()
    assert bf16_lead() > 0
    assert torch.equal(torch.random.get_rng_state(), before) and torch.get_num_threads() == threads
    assert load_model(tiny_model_dir, device="cpu", precision="auto").precision in ("fp32", "bf16")
