"""Causal attention that never sees a mask, which the fast kernels need, and that gives the same bits every time.

While a model is being traced, ``transformers`` cannot look into the position ids to see that a sequence is
not packed, and builds a four-dimensional mask to be safe; with a mask the flash kernels are out. An attention
function under a name of its own, for which no mask is ever made, leaves nothing to be built.

On a GPU, PyTorch's own kernels add some gradients up in whatever order thread blocks finish, so that a row would depend
on what other lanes are doing. Kernels that the compiler writes (flex attention) have a fixed order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention

NAME = "ttft_causal"
#: Choices that give the same bits every time on a GPU, whatever else the device is doing.
REPEATABLE = ("flex", "math")
_MASKS: dict[tuple[int, int | None], Any] = {}
#: Smaller than the compiler's own choice: one sequence alone has too few large tiles for a large device.
TILES: Any = {
    "fwd_BLOCK_M": 64,
    "fwd_BLOCK_N": 64,
    "fwd_num_warps": 4,
    "fwd_num_stages": 3,
    "bwd_BLOCK_M1": 32,
    "bwd_BLOCK_N1": 64,
    "bwd_BLOCK_M2": 64,
    "bwd_BLOCK_N2": 32,
    "bwd_num_warps": 4,
    "bwd_num_stages": 3,
}


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


def flex_causal_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """As :func:`causal_attention`, through a kernel that the compiler writes: the same bits every time."""
    assert attention_mask is None, "causal attention needs no mask"
    shared = query.shape[1] // key.shape[1]
    if shared > 1:
        key, value = key.repeat_interleave(shared, 1), value.repeat_interleave(shared, 1)
    # What autocast would do to them; rotated ones are in fp32.
    query, key = query.to(value.dtype), key.to(value.dtype)
    mask = _MASKS[query.shape[2], query.device.index]
    tiles = TILES if query.dtype != torch.float32 and query.shape[3] <= 128 else None
    output = flex_attention(query, key, value, block_mask=mask, scale=scaling, kernel_options=tiles)
    return output.transpose(1, 2).contiguous(), None


def prepare_attention(choice: str, length: int, device: torch.device) -> None:
    """Make the block mask that sequences of ``length`` tokens attend under, once: captured graphs refer to it."""

    def causal(batch: Any, head: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return query >= key

    if choice != "flex":
        return
    here = torch.empty(0, device=device).device  # "cuda" has no index, a tensor on it has
    if (length, here.index) not in _MASKS:
        _MASKS[length, here.index] = create_block_mask(causal, None, None, length, length, device=str(here))


def choose_attention(choice: str, config: Any, device: torch.device, compiled: bool) -> str:
    """Turn ``auto`` into one of the others; ``model`` where a module is not plainly causal."""
    if choice == "model" or not is_plainly_causal(config):
        return "model"
    if choice != "auto":
        return choice
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    fits = width >= 16 and width & (width - 1) == 0
    if device.type != "cuda":
        return "sdpa"
    return "flex" if compiled and fits else "math"


def takes_attention(module: torch.nn.Module) -> bool:
    """Whether the layers of ``module`` call whatever attention function is registered, as ``transformers`` tells."""
    return bool(getattr(module, "_supports_attention_backend", False))


def is_plainly_causal(config: Any) -> bool:
    """Whether every layer attends to the whole past and to nothing else, in the library's standard way."""
    kinds = getattr(config, "layer_types", None) or ()
    windowed = bool(getattr(config, "sliding_window", None)) and getattr(config, "use_sliding_window", True)
    standard = getattr(config, "_attn_implementation", "") == "sdpa"
    return standard and not windowed and all(kind == "full_attention" for kind in kinds)


def choose_function(choice: str) -> Callable[..., tuple[torch.Tensor, None]]:
    """What computes attention by a choice that is not ``model``."""
    return flex_causal_attention if choice == "flex" else causal_attention


def use_causal_attention(module: torch.nn.Module, choice: str) -> None:
    """Make ``module``, whose configuration is its own, attend with what :func:`choose_function` says."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, choose_function(choice))
    for part in module.modules():
        config = getattr(part, "config", None)
        if hasattr(config, "_attn_implementation"):
            config._attn_implementation = NAME  # type: ignore[union-attr]


@contextmanager
def kernels(choice: str) -> Iterator[None]:
    """Restrict which attention kernels may be chosen inside."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    wanted = {
        "flash": SDPBackend.FLASH_ATTENTION,
        "cudnn": SDPBackend.CUDNN_ATTENTION,
        "math": SDPBackend.MATH,
    }
    if choice in wanted:
        with sdpa_kernel([wanted[choice]]):
            yield
    else:
        yield


__all__ = [
    "NAME",
    "REPEATABLE",
    "causal_attention",
    "choose_attention",
    "choose_function",
    "flex_causal_attention",
    "is_plainly_causal",
    "kernels",
    "prepare_attention",
    "takes_attention",
    "use_causal_attention",
]
