"""Optimizer steps of single blocks beside the backward pass of the blocks before them.

An update is bound by memory, a backward pass by small products and the time between them, so on two streams each can
use what the other leaves idle; how much of that comes true is in benchmarks/engine_notes.md. The arithmetic is
elementwise, so nothing changes but when it happens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch

from ttft_bench.engine.compiled.direct import Sink
from ttft_bench.engine.compiled.flat import FlatGroup
from ttft_bench.engine.compiled.rules import Update

#: Blocks are taken together until they have so many weights: an update of fewer is over before it is launched.
LEAST = 1 << 21
_BLOCK = re.compile(r".*?\.\d+(?=\.)")

Kernel = Callable[..., None]


@dataclass
class _Block:
    """Weights that are updated together, once the gradients of all of ``numbers`` are there."""

    numbers: frozenset[int]
    span: tuple[int, int]
    kernel: Kernel | None


class Beside:
    """The update of a fresh step, begun block by block as gradients arrive.

    Args:
        update: the optimizer.
        home: the group that holds the weights of all direct layers, in the order in which they are called.
        names: of the direct layers, each one's number in the sink being its place here.
        sink: tells which gradients are queued.
        stream: where updates run, None for that of the backward pass.
        programs: with so many thread blocks (:mod:`ttft_bench.engine.compiled.narrow`); 0 for as many as there can be.
        tied: shape of an output head that is the input embedding too, the last of the direct layers. With narrow
            kernels the rows of the step's own tokens wait for the gradient of the embedding, and others do not.
    """

    def __init__(
        self,
        update: Update,
        home: FlatGroup,
        names: Sequence[str],
        sink: Sink,
        stream: Any = None,
        programs: int = 0,
        tied: tuple[int, int] | None = None,
    ) -> None:
        self.update = update
        self.home = home
        self.sink = sink
        self.stream = stream
        kernel: Kernel | None = None
        self._rows: Any = None
        self._marked: Any = None
        self.blocks: list[_Block] = []
        if programs:
            from ttft_bench.engine.compiled import narrow

            kernel = partial(narrow.adam_, programs=programs)
            if tied is not None and prod(tied) >= LEAST:
                self._rows = narrow.Rows.of(*tied, home.weights.device)
        if self._rows is not None and kernel is not None:
            last = len(names)
            self.blocks.append(_Block(frozenset({last}), home.spans[last], partial(kernel, rows=self._rows)))
        self.blocks += [_Block(frozenset(some), span, kernel) for some, span in _gather(names, home)]
        self._left: list[set[int]] = []
        self._begun: list[tuple[int, int]] = []

    @contextmanager
    def listening(self, ids: torch.Tensor) -> Iterator[None]:
        """A whole step: count it, update what becomes complete inside, and whatever is left afterwards.

        Args:
            ids: the step's tokens, int64, flat.
        """
        self.update.begin()
        self._left = [set(block.numbers) for block in self.blocks]
        self._begun = []
        if self._rows is not None:
            with self._aside():
                self._rows.mark(ids)
                self._marked = None if self.stream is None else self.stream.record_event()
        self.sink.listener = self._arrived
        try:
            yield
        finally:
            self.sink.listener = None
        self._finish(ids)

    def warm_up(self) -> None:
        """Take a step block by block without a backward pass: compiles what :meth:`listening` runs."""
        with self.listening(torch.zeros(1, dtype=torch.int64, device=self.home.weights.device)):
            for block in self.blocks:
                for number in block.numbers:
                    self._arrived(number)

    def _arrived(self, number: int) -> None:
        for left, block in zip(self._left, self.blocks, strict=True):
            if number in left:
                left.remove(number)
                if not left:
                    self._begin(block)

    def _begin(self, block: _Block) -> None:
        self._begun.append(block.span)
        with self._aside():
            self.update.apply(self.home, block.span, block.kernel)

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """On the stream of updates, after what has been queued on this thread's."""
        if self.stream is None:
            yield
            return
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
        with torch.cuda.stream(self.stream):
            yield

    def _finish(self, ids: torch.Tensor) -> None:
        if self._rows is not None:
            from ttft_bench.engine.compiled import narrow

            if self._marked is not None:
                self._marked.wait()
            self.update.apply(self.home, self.blocks[0].span, partial(narrow.adam_rows_, rows=self._rows, ids=ids))
        for span in _between(self._begun, self.home.weights.numel()):
            self.update.apply(self.home, span)
        for group in self.update.groups:
            if group is not self.home:
                self.update.apply(group)
        if self.stream is not None and self._begun:
            torch.cuda.current_stream(self.stream.device).wait_stream(self.stream)


def _gather(names: Sequence[str], home: FlatGroup) -> Iterator[tuple[list[int], tuple[int, int]]]:
    """Numbers of layers whose weights are updated together, and where these lie; last blocks first."""
    numbers: list[int] = []
    for number in reversed(range(len(names))):
        numbers.append(number)
        start, stop = home.spans[number][0], home.spans[numbers[0]][1]
        if stop - start >= LEAST and (number == 0 or _block(names[number - 1]) != _block(names[number])):
            yield numbers, (start, stop)
            numbers = []


def _block(name: str) -> str:
    found = _BLOCK.match(name)
    return found[0] if found else name


def _between(spans: Sequence[tuple[int, int]], end: int) -> Iterator[tuple[int, int]]:
    """What ``spans``, which do not overlap, leave of 0 .. ``end``."""
    start = 0
    for first, last in [*sorted(spans), (end, end)]:
        if first > start:
            yield start, first
        start = last


__all__ = ["Beside"]
