"""Answers that are no answers: a ContractError that names the part, whatever NumPy or Python would have said."""

from __future__ import annotations

import numpy as np
import pytest

from ttft_bench.errors import ContractError
from ttft_bench.selector import Problem, Selection, Selector, make_problem, validate_selection


class Silent(Selector):
    """Never asked."""

    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"weights": "abc"}, "weights is not an array of numbers"),
        ({"weights": [[1], [1, 2], 3]}, "weights is not an array of numbers"),
        ({"weights": object()}, "weights is not an array of numbers"),
        ({"objective": "x"}, "objective is not a number"),
        ({"gap": "x"}, "gap is not a number"),
        ({"gap": [1.0, 2.0]}, "gap is not a number"),
        ({"diagnostics": None}, "diagnostics is not a mapping"),
        ({"diagnostics": 3}, "diagnostics is not a mapping"),
    ],
)
def test_parts_of_the_wrong_kind_break_the_contract(part: dict[str, object], words: str) -> None:
    problem = make_problem(np.eye(3)[0], np.eye(3), 2)
    with pytest.raises(ContractError, match=words):
        validate_selection(Selection(np.array([0, 1]), **part), problem, Silent())  # type: ignore[arg-type]
