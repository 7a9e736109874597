"""From tokens to gradients: two roads through a model, chosen by whether the shorter one gives its loss.

:class:`SplitRoad` embeds tokens itself, compiles everything from there to the loss, and multiplies with an
output head padded to a multiple of 64 rows (50,257 rows make misaligned products). The gradient of the input
embedding touches only the rows of the step's own tokens, and is summed without atomic additions, so that the
same step gives the same bits. :class:`WholeRoad` takes the module as it is, for models with something unusual
between hidden state and logits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy, embedding, linear, pad

from ttft_bench.engine.compiled.flat import FlatGroup
from ttft_bench.engine.eager import IGNORED
from ttft_bench.engine.model import LanguageModel

#: Rows of the padded head are a multiple of this.
HEAD_ROWS = 64
Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


def token_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over the rows that have labels of the mean cross-entropy of their labels.

    Compiled, the conversion to fp32 happens inside the reductions: logits exist in the model's type only.
    """
    losses = cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), reduction="none", ignore_index=IGNORED)
    counts = (labels != IGNORED).sum(1)
    means = losses.view_as(labels).sum(1) / counts.clamp(min=1)
    return means.sum() / (counts > 0).sum()


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


class Road(ABC):
    """Computes the loss of a padded batch and puts its gradient into the flat groups."""

    #: What is differentiated for, and where each gradient goes.
    leaves: Sequence[torch.Tensor]
    targets: Sequence[torch.Tensor]

    @abstractmethod
    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Loss of ``tokens`` (inputs and labels, int64, shape (2, rows, length)), and the embedded inputs."""

    def __call__(self, tokens: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Put the gradient of ``weight`` times the loss in place; return the loss."""
        loss, embedded = self.forward(tokens)
        inputs = [*self.leaves, *([embedded] if embedded is not None else [])]
        gradients = torch.autograd.grad(loss * weight, inputs, allow_unused=True)
        with torch.no_grad():
            copy_all(self.targets, gradients[: len(self.targets)])
            if embedded is not None:
                assert gradients[-1] is not None
                self.add_embedding(tokens[0].flatten(), gradients[-1].flatten(0, 1))
        return loss.detach()

    def add_embedding(self, ids: torch.Tensor, gradient: torch.Tensor) -> None:
        """Add the gradient of the embedded inputs to that of the embedding."""
        raise NotImplementedError(f"{type(self).__name__} embeds inside")


class WholeRoad(Road):
    """Through the twin's own forward pass."""

    def __init__(self, model: LanguageModel, twin: nn.Module, groups: Sequence[FlatGroup], wrap: Wrap) -> None:
        self.leaves = [leaf for group in groups for leaf in group.leaves]
        self.targets = [view for group in groups for view in group.gradients]

        def loss(ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            with model.autocast():
                logits = twin(input_ids=ids, use_cache=False).logits
            return token_loss(logits, labels)

        self._loss = wrap(loss)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, None]:
        """See :class:`Road`."""
        return self._loss(tokens[0], tokens[1]), None


class SplitRoad(Road):
    """Embedding and head outside the module, everything between them through the twin's backbone.

    Args:
        model: the model; its embedding and head are used with their present (flat) weights.
        twin: its twin.
        groups: the flat groups.
        leaves: id of a trained parameter of ``model`` -> its leaf.
        dtype: of the head's weights.
        wrap: torch.compile, or nothing.
    """

    def __init__(
        self,
        model: LanguageModel,
        twin: nn.Module,
        groups: Sequence[FlatGroup],
        leaves: Mapping[int, nn.Parameter],
        dtype: torch.dtype,
        wrap: Wrap,
    ) -> None:
        head, table = model.module.get_output_embeddings(), model.module.get_input_embeddings()
        self._table = table.weight.detach()
        self._tied = head.weight is table.weight
        places = {
            id(parameter): view
            for group in groups
            for parameter, view in zip(group.parameters, group.gradients, strict=True)
        }
        #: Gradient of the embedding; None if it is frozen.
        self._rows = places.get(id(table.weight))
        outside = {id(table.weight)} if self._rows is not None and not self._tied else set()
        trained = [(leaf, places[key]) for key, leaf in leaves.items() if key not in outside]
        self.leaves = [leaf for leaf, _ in trained]
        self.targets = [place for _, place in trained]
        vocabulary = head.weight.shape[0]

        def part(own: torch.Tensor) -> torch.Tensor:
            return leaves[id(own)] if id(own) in leaves else _padded(own, dtype)

        weight, bias = part(head.weight), None if head.bias is None else part(head.bias)
        backbone = getattr(twin, str(twin.base_model_prefix))

        def loss(embedded: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            with model.autocast():
                hidden = backbone(inputs_embeds=embedded, use_cache=False).last_hidden_state
                logits = linear(hidden, weight, bias)[..., :vocabulary]
            return token_loss(logits, labels)

        self._loss = wrap(loss)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See :class:`Road`."""
        embedded = embedding(tokens[0], self._table)
        if self._rows is None:
            return self._loss(embedded, tokens[1]), None
        embedded.requires_grad_()
        return self._loss(embedded, tokens[1]), embedded

    def add_embedding(self, ids: torch.Tensor, gradient: torch.Tensor) -> None:
        """Sum over equal tokens with one small matrix product, then write each token's row."""
        rows = self._rows
        assert rows is not None
        same = (ids[:, None] == ids[None, :]).to(rows.dtype)
        sums = same @ gradient.to(rows.dtype)
        if self._tied:  # the head's gradient is there already
            sums = rows.index_select(0, ids) + sums
        else:
            rows.zero_()
        rows.index_copy_(0, ids, sums)


def head_rows(model: LanguageModel) -> dict[int, int]:
    """Id of each parameter of the output head -> number of rows it is padded to."""
    head = model.module.get_output_embeddings()
    rows = -(-head.weight.shape[0] // HEAD_ROWS) * HEAD_ROWS
    return {id(parameter): rows for parameter in (head.weight, head.bias) if parameter is not None}


def _padded(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    rows = -(-tensor.shape[0] // HEAD_ROWS) * HEAD_ROWS - tensor.shape[0]
    wanted = (0, rows) if tensor.dim() == 1 else (0, 0, 0, rows)
    return pad(tensor.detach().to(dtype), wanted)


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


__all__ = ["Road", "SplitRoad", "WholeRoad", "can_split", "copy_all", "head_rows", "token_loss"]
