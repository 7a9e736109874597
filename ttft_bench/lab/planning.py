"""From candidates to a schedule: of a number of steps, or of as many as a time budget has room for."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ttft_bench.corpus.library import Found, Library
from ttft_bench.engine.finetune import Engine
from ttft_bench.engine.items import Items, count_step_tokens
from ttft_bench.engine.pace import Pace, measure_pace
from ttft_bench.engine.schedule import Reuse, Step, build_schedule
from ttft_bench.errors import BrokenPluginError, DataError, TtftBenchError
from ttft_bench.lab.chosen import Chosen, describe
from ttft_bench.lab.timing import fit_steps
from ttft_bench.picking import Picked, make_call, pick
from ttft_bench.registry import distribution_of
from ttft_bench.selector import Selector, make_problem

#: Documents that a strategy is tried on before any clock, so that none sees its imports and first-call costs.
_TRIED = 8


@dataclass(frozen=True)
class Plan:
    """What one prompt is adapted with.

    Attributes:
        chosen: the picks.
        steps: their schedule.
        sequences: what the steps train on.
        select_s: seconds of ``select``.
        remarks: what the user should know.
        step_s: seconds of each step by the measured pace; empty without a time budget.
    """

    chosen: Chosen
    steps: tuple[Step[Any], ...]
    sequences: dict[Any, torch.Tensor]
    select_s: float
    remarks: tuple[str, ...] = ()
    step_s: tuple[float, ...] = ()


class Planner:
    """Makes plans for one Lab.

    Args:
        selector: the strategy.
        library: the documents.
        engine: trains; asked how long a step takes.
        reuse: of gradients.
        max_tokens: longest sequence.
        seed: of strategies that draw.
    """

    def __init__(
        self, selector: Selector, library: Library, engine: Engine, reuse: Reuse, max_tokens: int, seed: int
    ) -> None:
        self.selector = selector
        self._library = library
        self._engine = engine
        self._reuse = reuse
        self._max_tokens = max_tokens
        self._seed = seed
        self._counts: dict[int, int] = {}
        self._pace: Pace | None = None

    def warm_up(self) -> None:
        """Ask the strategy once for nothing; what fails here fails again, and is told, where it matters."""
        rows = self._library.vectors(range(min(_TRIED, len(self._library))))
        with contextlib.suppress(Exception, SystemExit):
            pick(self.selector, make_call(make_problem(rows[0], rows, 2), repr(self.selector), "", self._seed))

    def by_count(self, key: str, found: Found, budget: int) -> Plan:
        """A plan of ``budget`` steps.

        Args:
            key: of the prompt.
            found: its candidates.
            budget: at least 1.

        Raises:
            PluginError: the strategy fails, or breaks its contract.
            ModelError: a pick cannot be trained on.
        """
        picked = self._ask(key, found, budget)
        return self._plan(found, budget, picked, (picked.remark,) if picked.remark else ())

    def by_time(self, key: str, found: Found, budget_s: float) -> Plan:
        """A plan of about ``budget_s`` seconds, of one step at least.

        The first time, real steps are timed on the shortest and the longest candidate of this prompt; later prompts are
        planned by the same figures.
        """
        if self._pace is None:
            self._pace = measure_pace(self._engine, self._candidates(found))
        pace, lengths = self._pace, dict(zip(found.ids.tolist(), self._tokens(found.ids).tolist(), strict=True))

        def ask(budget: int) -> tuple[float, int, Picked]:
            picked = self._ask(key, found, budget)
            order = found.ids[picked.selection.positions].tolist()
            steps = build_schedule(order, self._reuse)
            return pace.total_s(steps, lengths.__getitem__), len(order), picked

        ordinary = Step(0, fresh=True)
        step_s = float(np.mean([pace.step_s(ordinary, length) for length in lengths.values()]))
        budget, seconds, picked = fit_steps(budget_s, step_s, ask)
        remarks = [picked.remark] if picked.remark else []
        if seconds > budget_s:
            remarks.append(
                f"one step takes about {seconds:.2g} s here, more than the budget of {budget_s:g} s: it is taken all "
                "the same; shorter sequences (max_tokens), a smaller model or a larger budget would fit"
            )
        plan = self._plan(found, budget, picked, tuple(remarks))
        step_times = tuple(pace.step_s(step, lengths[step.item]) for step in plan.steps)
        return Plan(plan.chosen, plan.steps, plan.sequences, plan.select_s, plan.remarks, step_times)

    def _plan(self, found: Found, budget: int, picked: Picked, remarks: tuple[str, ...]) -> Plan:
        chosen = describe(repr(self.selector), budget, picked, found, self._library)
        items = Items(self._engine.model, {one.id: one.document.text for one in chosen.picks}, self._max_tokens)
        arranged = items.arrange(chosen.order)
        steps = build_schedule(arranged, self._reuse)
        return Plan(chosen, steps, items.sequences(arranged), picked.select_s, remarks)

    def _ask(self, key: str, found: Found, budget: int) -> Picked:
        problem = make_problem(found.query, found.vectors, budget, found.ids, self._tokens(found.ids))
        spec = repr(self.selector)
        try:
            return pick(self.selector, make_call(problem, spec, key, self._seed))
        except (TtftBenchError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a plug-in that ends the process ends its own answer only
            raise BrokenPluginError(
                f"strategy {spec} of {distribution_of(self.selector.name)} failed on this prompt: "
                f"{type(error).__name__}: {error}; use another strategy, or tell its author"
            ) from error

    def _tokens(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens of one step on each document; counted once in the life of a Lab."""
        new = [document for document in ids.tolist() if document not in self._counts]
        texts = [self._library[document].text for document in new]
        counts = count_step_tokens(self._engine.model.tokenizer, texts, self._max_tokens)
        self._counts.update(zip(new, counts.tolist(), strict=True))
        return np.array([self._counts[document] for document in ids.tolist()], dtype=np.int64)

    def _candidates(self, found: Found) -> Sequence[torch.Tensor]:
        """What could be trained on; a document that nothing can be predicted in is its own pick's problem."""
        items = Items(self._engine.model, {i: self._library[i].text for i in found.ids.tolist()}, self._max_tokens)
        sequences = []
        refusal: DataError | None = None
        for document in found.ids.tolist():
            try:
                sequences.append(items.sequence(document))
            except DataError as error:
                refusal = error
        if not sequences and refusal is not None:
            raise refusal
        return sequences


__all__ = ["Plan", "Planner"]
