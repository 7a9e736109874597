"""What one training step costs, as measured: plain data, from reports of this repository that each entry names.

``benchmarks/engine.py`` makes the reports; a test compares these figures with them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

CPU = "2 CPU cores"
#: An H100, of three quarters of its bandwidth, took 5.09 ms for a compiled step of GPT-2 when this one took 4.37.
GPU = "one H200"


@dataclass(frozen=True)
class Rate:
    """Seconds of one step at batch 1.

    Attributes:
        device: where it was measured.
        model: what of the model's name tells it: a suite's model is meant if its name contains this.
        weights: number of the model's weights.
        tokens: length of the sequence.
        gradient_s: forward and backward pass.
        update_s: the optimizer's update.
        linear: whether the gradient's seconds fall with a shorter sequence; they do not where launching kernels and
            reading weights are what is left. They rise with a longer one in any case.
        engine: how steps were executed.
        source: the report.
    """

    device: str
    model: str
    weights: int
    tokens: float
    gradient_s: float
    update_s: float
    linear: bool
    engine: str
    source: str

    def seconds(self, tokens: float) -> float:
        """Seconds of one step on a sequence of so many tokens."""
        share = tokens / self.tokens
        return self.gradient_s * (share if self.linear else max(share, 1.0)) + self.update_s


RATES = (
    # The update is within the gradient's figure: whole prompts were timed.
    Rate(CPU, "smollm2-135m", 134_515_008, 289.6, 3.143, 0.0, True, "eager, fp32", "reports/engine/engine_cpu.json"),
    Rate(GPU, "gpt2", 124_439_808, 1024, 0.002866, 0.000847, False, "compiled, bf16", "reports/engine/engine.json"),
    Rate(
        GPU,
        "smollm2-135m",
        134_515_008,
        512,
        0.003270,
        0.000917,
        False,
        "compiled, bf16",
        "reports/engine/engine.json",
    ),
    # The published loop pads every sequence to 1,024 tokens; eager steps of ours take no longer.
    Rate(GPU, "gpt2", 124_439_808, 1024, 0.030770, 0.005269, False, "eager, fp32", "reports/engine/engine.json"),
    Rate(
        GPU, "smollm2-135m", 134_515_008, 1024, 0.101060, 0.010657, False, "eager, fp32", "reports/engine/engine.json"
    ),
)

#: Tokens of a mean training sequence, start token included, of SmolLM2's tokenizer; other corpora are taken to fill
#: the limit. From reports/engine/engine_cpu.json.
MEAN_TOKENS = {"minipile": 289.6}


def rate_of(device: str, model: str, *, eager: bool) -> Rate | None:
    """The figure for a model on a device.

    Args:
        device: :data:`CPU` or :data:`GPU`.
        model: name as a suite gives it.
        eager: whether steps are executed one operation at a time; a CPU does that in any case.

    Returns:
        The figure; that of another model, by the ratio of their weights, if only that was measured there. None if
        the model was never measured.
    """
    known = [rate for rate in RATES if rate.model in model.lower()]
    kind = "eager" if eager or device == CPU else "compiled"
    there = [rate for rate in RATES if rate.device == device and rate.engine.startswith(kind)]
    if not known or not there:
        return None
    own = next((rate for rate in there if rate.model == known[0].model), None)
    if own is not None:
        return own
    ratio = known[0].weights / there[0].weights
    return replace(
        there[0],
        model=known[0].model,
        weights=known[0].weights,
        gradient_s=ratio * there[0].gradient_s,
        update_s=ratio * there[0].update_s,
        source=f"{there[0].source} (by weights)",
    )


__all__ = ["CPU", "GPU", "MEAN_TOKENS", "RATES", "Rate", "rate_of"]
