"""Causal attention that never sees a mask: what the fast kernels need.

While a model is being traced, ``transformers`` cannot look into the position ids to see that a sequence is
not packed, and builds a four-dimensional mask to be safe; with a mask the flash kernels are out. An attention
function under a name of its own, for which no mask is ever made, leaves nothing to be built.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

NAME = "ttft_causal"


def causal_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention over the past, in the form that ``transformers`` calls.

    Args:
        module: the attention layer.
        query: (batch, heads, length, width).
        key: (batch, key heads, length, width); fewer heads serve several query heads each.
        value: as ``key``.
        attention_mask: None.
        scaling: of the scores.

    Returns:
        (batch, length, heads, width), and no attention weights.
    """
    assert attention_mask is None, "causal attention needs no mask"
    shared = query.shape[1] // key.shape[1]
    # Only the half-precision kernels take fewer key heads; in fp32 grouped heads would fall to the slow road.
    grouped = shared > 1 and query.dtype != torch.float32
    if shared > 1 and not grouped:
        key, value = key.repeat_interleave(shared, 1), value.repeat_interleave(shared, 1)
    output = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=grouped)
    return output.transpose(1, 2).contiguous(), None


def is_plainly_causal(config: Any) -> bool:
    """Whether every layer attends to the whole past and to nothing else, in the library's standard way."""
    kinds = getattr(config, "layer_types", None) or ()
    windowed = bool(getattr(config, "sliding_window", None)) and getattr(config, "use_sliding_window", True)
    standard = getattr(config, "_attn_implementation", "") == "sdpa"
    return standard and not windowed and all(kind == "full_attention" for kind in kinds)


def use_causal_attention(module: torch.nn.Module) -> None:
    """Make ``module``, whose configuration is its own, attend with :func:`causal_attention`."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, causal_attention)
    for part in module.modules():
        config = getattr(part, "config", None)
        if hasattr(config, "_attn_implementation"):
            config._attn_implementation = NAME  # type: ignore[union-attr]


@contextmanager
def kernels(choice: str) -> Iterator[None]:
    """Restrict which attention kernels may be chosen inside."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    wanted = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}.get(choice)
    if wanted is None:
        yield
    else:
        with sdpa_kernel([wanted]):
            yield


__all__ = ["NAME", "causal_attention", "is_plainly_causal", "kernels", "use_causal_attention"]
