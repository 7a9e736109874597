"""The precision that ``auto`` stands for: bf16 where it is much faster, fp32 elsewhere.

That a processor lists bf16 among its instructions says little: where they are emulated, or where a library has no
kernel for them, a bf16 product takes up to 20 times as long as an fp32 one. So a layer is timed in both.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch.nn.functional import linear

from ttft_bench.engine.choices import PRECISION_CHOICES, check_choice
from ttft_bench.engine.clock import race

#: A layer must be so many times as fast in bf16 on a CPU. Twice is little for a whole step, of which casts, attention
#: and the optimizer remain (1.0 to 1.4 times were seen), and eager bf16 is off from fp32 by more than most strategies
#: are from each other.
LEAD = 4.0
_TOKENS, _INPUTS, _OUTPUTS = 128, 576, 1536
#: The fastest of three differed by half within one process, of so many by a tenth.
_ROUNDS = 24


def resolve_precision(name: str, device: torch.device) -> str:
    """Turn ``auto`` into fp32 or bf16; the other choices stay what they are.

    Raises:
        UsageError: ``name`` is none of the choices.
    """
    check_choice("precision", name, PRECISION_CHOICES)
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    if device.type == "cpu":
        return "bf16" if bf16_lead() >= LEAD else "fp32"
    return "fp32"


@lru_cache(maxsize=1)
def bf16_lead() -> float:
    """How many times as fast a linear layer's forward and backward pass is in bf16 as in fp32, casts included.

    On one thread: several wait for each other, and beside other work the answer differed from process to process by
    more than any lead. Takes less than a second, once in a process; 0 if bf16 cannot be computed at all.
    """
    # Values from a pattern: no generator is touched.
    x = torch.linspace(-1, 1, _TOKENS * _INPUTS).view(_TOKENS, _INPUTS).requires_grad_()
    weight = torch.linspace(-1, 1, _OUTPUTS * _INPUTS).view(_OUTPUTS, _INPUTS).requires_grad_()

    def step(half: bool) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            out = linear(x, weight)
        torch.autograd.grad(out, (x, weight), torch.ones_like(out))

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return race(lambda: step(half=False), lambda: step(half=True), rounds=_ROUNDS)
    except RuntimeError:
        return 0.0
    finally:
        torch.set_num_threads(threads)


__all__ = ["LEAD", "bf16_lead", "resolve_precision"]
