"""The three questions a reader has, each with figures and a verdict line that can come out either way.

1. Does lower reconstruction error mean lower bits per byte? (:mod:`.residual`)
2. When is finetuning worth its time against in-context retrieval, LoRA, nothing? (:mod:`.worth`)
3. What would falsify the claims? (:mod:`.falsifiers` defines, :mod:`.evaluate` decides)
"""

from __future__ import annotations

from ttft_bench.report.questions.alignment import read_alignment, with_alignment
from ttft_bench.report.questions.evaluate import Evidence, Finding, evaluate
from ttft_bench.report.questions.falsifiers import Falsifier, read_falsifiers, read_files
from ttft_bench.report.questions.residual import ResidualAnswer, answer_residual
from ttft_bench.report.questions.verdict import Verdict
from ttft_bench.report.questions.worth import WorthAnswer, answer_worth

__all__ = [
    "Evidence",
    "Falsifier",
    "Finding",
    "ResidualAnswer",
    "Verdict",
    "WorthAnswer",
    "answer_residual",
    "answer_worth",
    "evaluate",
    "read_alignment",
    "read_falsifiers",
    "read_files",
    "with_alignment",
]
