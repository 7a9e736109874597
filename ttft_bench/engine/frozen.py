"""Frozen blocks below the first trained one: run on many documents at once, then left out for each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from ttft_bench.engine.forwards import forwards_replaced
from ttft_bench.engine.trainable import find_blocks


class FrozenBlocks:
    """The blocks of a causal language model below the first one that has a trainable weight.

    A gradient of a model's last block alone needs the output of all others, but not one by one: many documents go
    through them in a batch, and each then through the last block with a graph of its own. Documents are padded on the
    right, which no earlier token can see, so that no mask is needed.

    Args:
        module: a causal language model of ``transformers``, its trainable weights chosen.

    Raises:
        ModelError: the module has no list of blocks.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        blocks = list(find_blocks(module)[1])
        first = next((i for i, block in enumerate(blocks) if _wants_gradients(block)), len(blocks))
        embeddings = module.get_input_embeddings()  # type: ignore[operator]
        #: The frozen blocks; empty where a weight below them is trained.
        self.below = [] if _wants_gradients(embeddings) or first == len(blocks) else blocks[:first]
        self._first = blocks[first] if self.below else None
        self._returns_tuple = False

    def run(self, sequences: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """What reaches the first trained block.

        Args:
            sequences: token ids, each of shape (T,), on the model's device.

        Returns:
            Hidden states of every sequence, shape (T, d).
        """
        assert self._first is not None
        tokens = nn.utils.rnn.pad_sequence(list(sequences), batch_first=True)
        seen: list[torch.Tensor] = []

        def keep(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen.append(args[0] if args else kwargs["hidden_states"])

        def look(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
            self._returns_tuple = isinstance(output, tuple)

        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.callback(self._first.register_forward_pre_hook(keep, with_kwargs=True).remove)
            stack.callback(self.below[-1].register_forward_hook(look).remove)
            # Without the head: its logits over a large vocabulary would be the largest tensor of all.
            self.module.base_model(input_ids=tokens, use_cache=False)  # type: ignore[operator]
        return [hidden[: len(sequence)] for hidden, sequence in zip(seen[0], sequences, strict=True)]

    @contextmanager
    def replaced_by(self, hidden: torch.Tensor) -> Iterator[None]:
        """Inside the block, a forward pass of the module starts at the first trained block, with ``hidden``.

        Args:
            hidden: one sequence's, shape (T, d), of :meth:`run`. The module is called with that sequence all the same:
                it makes positions and masks of it.
        """
        assert self._first is not None

        def swap(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            if args:
                return (hidden[None], *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": hidden[None]}

        def skip(*args: Any, **kwargs: Any) -> Any:
            passed = args[0] if args else kwargs["hidden_states"]
            return (passed,) if self._returns_tuple else passed

        with ExitStack() as stack:
            stack.callback(self._first.register_forward_pre_hook(swap, with_kwargs=True).remove)
            stack.enter_context(forwards_replaced((block, skip) for block in self.below))
            yield


def _wants_gradients(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


__all__ = ["FrozenBlocks"]
