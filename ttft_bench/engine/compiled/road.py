"""From tokens to gradients: two roads through a model, chosen by whether the shorter one gives its loss.

:class:`SplitRoad` embeds tokens itself, compiles everything from there to the loss, and multiplies with an
output head padded to a multiple of 64 rows (50,257 rows make misaligned products). The gradient of the input
embedding touches only the rows of the step's own tokens, and is summed without atomic additions, so that the
same step gives the same bits. :class:`WholeRoad` takes the module as it is, for models with something unusual
between hidden state and logits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import embedding, pad

from ttft_bench.engine.compiled.code import Code, Head, stand_ins
from ttft_bench.engine.compiled.direct import Sink
from ttft_bench.engine.compiled.flat import FlatGroup
from ttft_bench.engine.model import LanguageModel

#: Rows of the padded head are a multiple of this.
HEAD_ROWS = 64


class Road(ABC):
    """Computes the loss of a padded batch and puts its gradient into the flat groups.

    Args:
        model: its weights are those of the flat groups by now.
        groups: the flat groups.
        dtype: of the matrix weights.
        code: the compiled function.
    """

    #: Where the gradient of an embedding goes that is outside the compiled part; None without one.
    rows: torch.Tensor | None = None
    #: Whether ``rows`` are those of the output head too, whose gradient is there already.
    tied: bool = False

    def __init__(
        self,
        model: LanguageModel,
        groups: Sequence[FlatGroup],
        dtype: torch.dtype,
        code: Code,
    ) -> None:
        module: Any = model.module
        leaves, self._stacked = _leaves(groups)
        gradients = [view for group in groups for view in group.gradients]
        self._places = dict(zip(leaves, gradients, strict=True))
        layers = [module.get_submodule(name) for name in code.direct]
        layers += [module.get_output_embeddings()] if code.direct_head else []
        layers += [module.get_submodule(name) for name in code.norms]
        #: Where the gradients of direct layers go, which are not differentiated for: their tokens are.
        self.sink = Sink(
            [self._places[id(layer.weight)] for layer in layers],
            [self._places.get(id(getattr(layer, "bias", None))) for layer in layers],
        )
        direct = {id(own) for layer in layers for own in layer.parameters(recurse=False)} & self._places.keys()
        self._tokens = [nn.Parameter(torch.empty(1, device=model.device)) for _ in layers]
        inside = list(self._tokens)
        self._head_token = inside.pop(len(code.direct)) if code.direct_head else None
        self._computed = {key: leaf.detach() if key in direct else leaf for key, leaf in leaves.items()}
        by_hand = direct | self._by_hand(module)
        #: What is differentiated for, and where each gradient goes.
        self.leaves = [leaf for key, leaf in leaves.items() if key not in by_hand]
        self.targets = [place for key, place in self._places.items() if key not in by_hand]
        self._loss = code.loss
        prefix = f"{module.base_model_prefix}." if code.split else ""
        self._tensors: dict[str, torch.Tensor] = {}
        for name, token in zip([*code.direct, *code.norms], inside, strict=True):
            self._tensors[f"{name.removeprefix(prefix)}.token"] = token
            self._tensors[f"{name.removeprefix(prefix)}.sink"] = self.sink.handle
        self._hand_in(model, dtype, code)

    @abstractmethod
    def _hand_in(self, model: LanguageModel, dtype: torch.dtype, code: Code) -> None:
        """Add what the compiled function computes with to what direct layers need."""

    def _by_hand(self, module: Any) -> set[int]:
        """Ids of parameters whose gradient is computed outside of autograd."""
        return set()

    @abstractmethod
    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Loss of ``tokens`` (inputs and labels, int64, shape (2, rows, length)), and the embedded inputs."""

    def __call__(self, tokens: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Put the gradient of ``weight`` times the loss in place; return the loss."""
        loss, embedded = self.forward(tokens)
        inputs = [*self.leaves, *self._tokens, *([embedded] if embedded is not None else [])]
        failed = True
        try:
            gradients = torch.autograd.grad(loss * weight, inputs, allow_unused=True)
            failed = False
        finally:
            self.sink.join(failed)
        with torch.no_grad():
            copy_all(self.targets, gradients[: len(self.targets)])
            if self.rows is not None:
                assert gradients[-1] is not None
                add_embedding(self.rows, self.tied, tokens[0].flatten(), gradients[-1].flatten(0, 1))
        return loss.detach()


class WholeRoad(Road):
    """Through the module's own forward pass; arguments as for :class:`Road`."""

    def _hand_in(self, model: LanguageModel, dtype: torch.dtype, code: Code) -> None:
        self._tensors.update(stand_ins(model.module, self._computed, self._stacked, dtype))

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, None]:
        """See :class:`Road`."""
        return self._loss(self._tensors, tokens[0], tokens[1]), None


class SplitRoad(Road):
    """Embedding and head outside the module, everything between them through its backbone; arguments as above."""

    def _hand_in(self, model: LanguageModel, dtype: torch.dtype, code: Code) -> None:
        module = model.module
        head, table = module.get_output_embeddings(), module.get_input_embeddings()
        self._table = table.weight.detach()
        self.tied = head.weight is table.weight
        self.rows = self._places.get(id(table.weight))

        def part(own: torch.Tensor) -> torch.Tensor:
            return self._computed[id(own)] if id(own) in self._computed else _padded(own, dtype)

        sink = self.sink.handle if code.direct_head else None
        self._head: Head = part(head.weight), None if head.bias is None else part(head.bias), self._head_token, sink
        backbone = getattr(module, module.base_model_prefix)
        outside = {id(table.weight), *head_rows(model), *self._stacked}
        self._tensors.update(stand_ins(backbone, self._computed, outside, dtype))

    def _by_hand(self, module: Any) -> set[int]:
        """The input embedding, unless it is the head too, where autograd gives the other part of its gradient."""
        table = module.get_input_embeddings().weight
        return set() if module.get_output_embeddings().weight is table else {id(table)}

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See :class:`Road`."""
        embedded = embedding(tokens[0], self._table)
        if self.rows is not None:
            embedded.requires_grad_()
        loss = self._loss(self._tensors, self._head, embedded, tokens[1])
        return loss, embedded if self.rows is not None else None


def add_embedding(rows: torch.Tensor, tied: bool, ids: torch.Tensor, gradient: torch.Tensor) -> None:
    """Sum the gradient of embedded inputs over equal tokens with one small product, then write each token's row."""
    same = (ids[:, None] == ids[None, :]).to(rows.dtype)
    sums = same @ gradient.to(rows.dtype)
    if tied:
        sums = rows.index_select(0, ids) + sums
    else:
        rows.zero_()
    rows.index_copy_(0, ids, sums)


def _leaves(groups: Sequence[FlatGroup]) -> tuple[dict[int, nn.Parameter], set[int]]:
    """Id of the first parameter of every stack -> its leaf, in the order of the groups; ids of all others."""
    stacks = [(stack, leaf) for group in groups for stack, leaf in zip(group.stacks, group.leaves, strict=True)]
    return {id(stack[0]): leaf for stack, leaf in stacks}, {id(p) for stack, _ in stacks for p in stack[1:]}


def copy_all(targets: Sequence[torch.Tensor], sources: Sequence[torch.Tensor | None]) -> None:
    """Copy every source that exists, with one call for all tensors of a kind.

    One tensor of another type or layout would take all of a call off the fast path.
    """
    kinds: dict[Any, tuple[list[torch.Tensor], list[torch.Tensor]]] = {}
    for target, source in zip(targets, sources, strict=True):
        if source is not None:
            alike = target.stride() == source.stride()
            to, of = kinds.setdefault((target.dtype, source.dtype, alike), ([], []))
            to.append(target)
            of.append(source)
    for to, of in kinds.values():
        torch._foreach_copy_(to, of)


def head_rows(model: LanguageModel) -> dict[int, int]:
    """Id of each parameter of the output head -> number of rows it is padded to."""
    head = model.module.get_output_embeddings()
    rows = -(-head.weight.shape[0] // HEAD_ROWS) * HEAD_ROWS
    return {id(parameter): rows for parameter in (head.weight, head.bias) if parameter is not None}


def _padded(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    rows = -(-tensor.shape[0] // HEAD_ROWS) * HEAD_ROWS - tensor.shape[0]
    wanted = (0, rows) if tensor.dim() == 1 else (0, 0, 0, rows)
    return pad(tensor.detach().to(dtype), wanted)


__all__ = ["Road", "SplitRoad", "WholeRoad", "copy_all", "head_rows"]
