"""The compiled function from tokens to loss, with all weights as arguments: compiled once, for every lane.

The module's structure is a skeleton that shares the module's tensors; the trained weights, and half-precision
copies of frozen ones, are handed in by name and stand in for its own. Under bf16 autocast the weights of matrix
products are cast on every forward pass, and their gradients cast back: stand-ins are in bf16 already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy, embedding, linear

from ttft_bench.engine.compiled.attention import choose_function, prepare_attention, use_causal_attention
from ttft_bench.engine.compiled.direct import direct_product
from ttft_bench.engine.compiled.heads import Layout, use_heads
from ttft_bench.engine.compiled.skeleton import (
    Siblings,
    make_direct,
    make_scale,
    make_skeleton,
    prepare_rotations,
    stack_siblings,
)
from ttft_bench.engine.eager import IGNORED
from ttft_bench.engine.model import LanguageModel

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True)
class Code:
    """What lanes share.

    Attributes:
        split: whether embedding and head are outside the module; see :mod:`ttft_bench.engine.compiled.road`.
        loss: ``(stand-ins, head, embedded inputs, labels)`` if split, the head being its weight, bias, token and sink,
            else ``(stand-ins, inputs, labels)`` -> the loss.
        siblings: layers whose weights, and biases, are handed in stacked by rows, under the name of the first.
        direct: names of the direct layers, each one's number being its place here.
        direct_head: whether a split head is one too, the last.
        norms: names of the norms that are taken apart, numbered from there on.
        prepare: to be called with a length before the first loss of that length.
    """

    split: bool
    loss: Callable[..., torch.Tensor]
    siblings: Sequence[Siblings]
    direct: Sequence[str]
    direct_head: bool
    norms: Sequence[str]
    prepare: Callable[[int], None]


#: Weight and bias of the output head, and the token and sink of a direct one.
Head = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]


def make_code(
    model: LanguageModel,
    split: bool,
    attention: str,
    siblings: Sequence[Siblings],
    direct: Sequence[str],
    direct_head: bool,
    norms: Sequence[str],
    heads: Mapping[str, Layout],
    wrap: Wrap,
) -> Code:
    """Make the function of ``model``.

    Args:
        model: gives structure and autocast.
        split: take the module apart; see :func:`can_split`.
        attention: one of :class:`ttft_bench.engine.compiled.options.Options`, not ``auto``.
        siblings: layers to make one product of.
        direct: layers to make direct (:mod:`ttft_bench.engine.compiled.direct`).
        direct_head: make a split head direct.
        norms: norms to take apart (:mod:`ttft_bench.engine.compiled.norms`).
        heads: attention layers to rewrite (:mod:`ttft_bench.engine.compiled.heads`).
        wrap: torch.compile, or nothing.
    """
    module = model.module
    skeleton = make_skeleton(module)
    if attention != "model":
        use_causal_attention(skeleton, attention)
    numbers = {name: number for number, name in enumerate(direct)}
    leaders = {names[0] for names in siblings}
    for names in siblings:
        stack_siblings(skeleton, names, numbers.get(names[0]))
    for name, number in numbers.items():
        if name not in leaders:
            make_direct(skeleton, name, number)
    for number, name in enumerate(norms, len(direct) + direct_head):
        make_scale(skeleton, name, number)
    use_heads(skeleton, heads, choose_function(attention))
    vocabulary = module.get_output_embeddings().weight.shape[0]
    backbone = getattr(skeleton, skeleton.base_model_prefix)

    def split_loss(
        tensors: dict[str, torch.Tensor], head: Head, embedded: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        weight, bias, token, sink = head
        with model.autocast():
            inputs = {"inputs_embeds": embedded, "use_cache": False}
            hidden = functional_call(backbone, tensors, (), inputs).last_hidden_state
            if token is None or sink is None:
                logits = linear(hidden, weight, bias)
            else:
                logits = direct_product(hidden, weight, bias, token, sink, len(numbers))
        # The head's padding counts as impossible: cutting it off would cost a copy of the gradient.
        padding = torch.arange(logits.shape[-1], device=logits.device) >= vocabulary
        return token_loss(logits.float().masked_fill(padding, float("-inf")), labels)

    def whole_loss(tensors: dict[str, torch.Tensor], ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with model.autocast():
            logits = functional_call(skeleton, tensors, (), {"input_ids": ids, "use_cache": False}).logits
        return token_loss(logits, labels)

    def prepare(length: int) -> None:
        prepare_rotations(skeleton, length, model.device)
        prepare_attention(attention, length, model.device)

    return Code(split, wrap(split_loss if split else whole_loss), siblings, direct, direct_head, norms, prepare)


def token_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over the rows that have labels of the mean cross-entropy of their labels.

    Compiled, the conversion to fp32 happens inside the reductions: logits exist in the model's type only.
    """
    losses = cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), reduction="none", ignore_index=IGNORED)
    counts = (labels != IGNORED).sum(1)
    means = losses.view_as(labels).sum(1) / counts.clamp(min=1)
    return means.sum() / (counts > 0).sum()


def matrix_weights(module: nn.Module) -> set[int]:
    """Ids of the parameters that autocast would cast: weights and biases of linear layers."""
    return {
        id(parameter)
        for part in module.modules()
        if isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D"
        for parameter in part.parameters(recurse=False)
    }


def stand_ins(
    part: nn.Module, leaves: Mapping[int, torch.Tensor], outside: set[int], frozen_dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """Name -> tensor for the parameters of ``part`` that are not used as they are.

    Args:
        part: the module, or its backbone.
        leaves: id of a trained parameter -> what is computed with.
        outside: ids of parameters that are used outside ``part``.
        frozen_dtype: of the copies of frozen matrix weights; fp32 needs none.
    """
    casts = matrix_weights(part) if frozen_dtype != torch.float32 else set()
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in part.named_parameters():
        key = id(parameter)
        if key in outside:
            continue
        if key in leaves:
            tensors[name] = leaves[key]
        elif key in casts:
            tensors[name] = parameter.detach().to(frozen_dtype)
    return tensors


def can_split(model: LanguageModel) -> bool:
    """Whether embedding, backbone and head, put together here, give the model's own logits."""
    module = model.module
    ids = torch.arange(1, 25, device=model.device)[None] % module.get_input_embeddings().weight.shape[0]
    try:
        head, table = module.get_output_embeddings(), module.get_input_embeddings()
        if type(head) is not nn.Linear or type(table) is not nn.Embedding or table.max_norm is not None:
            return False
        with torch.no_grad():
            backbone = getattr(module, module.base_model_prefix)
            hidden = backbone(inputs_embeds=embedding(ids, table.weight), use_cache=False).last_hidden_state
            ours = linear(hidden, head.weight, head.bias)
            theirs = module(input_ids=ids, use_cache=False).logits
    except Exception:  # a model that is put together in another way may raise anything
        return False
    return ours.shape == theirs.shape and torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4)


__all__ = ["Code", "Head", "Wrap", "can_split", "make_code", "matrix_weights", "stand_ins", "token_loss"]
