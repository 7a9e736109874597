"""Question 1: does lower reconstruction error mean lower bits per byte?

Over many selections of one prompt (all strategies, random and adversarial ones too), Spearman's rho between
``residual`` = ||mean of query rows - mean of picks||^2 and the gain, 100 - BPB%. Below 0: the closer the picks' mean,
the larger the gain. Taken within a prompt *and a budget*, because a larger budget lowers the residual and the BPB%
whether or not one causes the other; the figure over all budgets stands beside it.

What else could make it so:

- *similarity*: picks near the prompt have a small residual and help. The partial correlation holds
  ``similarity_mean`` fixed.
- *anything but the embedding*: a run with shuffled embeddings (each document has another's, see
  :data:`ttft_bench.report.paired.split.SHUFFLED_PREFIX`) must kill it.
- *mechanism*: the alignment of gradients, from the side file of :mod:`ttft_bench.report.questions.alignment`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ttft_bench.report.paired.markdown import figure
from ttft_bench.report.paired.outcomes import Interval
from ttft_bench.report.paired.prompts import quality
from ttft_bench.report.questions.correlations import Correlation, column, within_prompts
from ttft_bench.report.questions.verdict import Verdict
from ttft_bench.report.stats import Row, is_measured

QUESTION = "Does lower reconstruction error mean lower bits per byte?"
#: A rho nearer to 0 than this is as good as none.
NEGLIGIBLE_RHO = 0.1


@dataclass(frozen=True)
class ResidualAnswer:
    """Question 1 in figures.

    Attributes:
        within_budget: residual and gain, within prompt and budget: what the verdict looks at.
        given_similarity: the same with mean similarity held fixed.
        across_budgets: within prompt, budgets mixed.
        similarity: mean similarity and gain, within prompt and budget.
        shuffled: ``within_budget`` of the control with shuffled embeddings; None if it was not run.
        alignment_gain: gradient alignment and gain; None without a side file.
        residual_alignment: residual and gradient alignment; None without a side file.
        verdict: the answer.
    """

    within_budget: Correlation
    given_similarity: Correlation
    across_budgets: Correlation
    similarity: Correlation
    shuffled: Correlation | None
    alignment_gain: Correlation | None
    residual_alignment: Correlation | None
    verdict: Verdict

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """Every correlation there is."""
        found = (
            self.within_budget,
            self.given_similarity,
            self.across_budgets,
            self.similarity,
            self.shuffled,
            self.alignment_gain,
            self.residual_alignment,
        )
        return tuple(item for item in found if item is not None)


def answer_residual(rows: Sequence[Row], shuffled_rows: Sequence[Row] = ()) -> ResidualAnswer:
    """Answer question 1 from the rows of one scope.

    Args:
        rows: rows of one scope, with a key ``alignment`` where the side file has one.
        shuffled_rows: rows of the control whose embeddings are shuffled.
    """
    chosen = _selections(rows)
    residual, similarity, alignment = column("residual"), column("similarity_mean"), column("alignment")
    within = within_prompts("residual and gain", chosen, residual, _gain)
    partial = within_prompts("residual and gain, mean similarity held fixed", chosen, residual, _gain, similarity)
    control = None
    if shuffled_rows:
        name = "residual and gain, embeddings shuffled (control)"
        control = within_prompts(name, _selections(shuffled_rows), residual, _gain)
    aligned = [row for row in chosen if alignment(row) is not None]
    return ResidualAnswer(
        within_budget=within,
        given_similarity=partial,
        across_budgets=within_prompts("residual and gain, budgets mixed", chosen, residual, _gain, by=()),
        similarity=within_prompts("mean similarity and gain", chosen, similarity, _gain),
        shuffled=control,
        alignment_gain=within_prompts("gradient alignment and gain", aligned, alignment, _gain) if aligned else None,
        residual_alignment=(
            within_prompts("residual and gradient alignment", aligned, residual, alignment) if aligned else None
        ),
        verdict=judge(within.mean, partial.mean, None if control is None else control.mean),
    )


def judge(within: Interval, partial: Interval, shuffled: Interval | None) -> Verdict:
    """The rule, stated before any run.

    - *not decided*: too few prompts, or an interval that reaches from a real effect to none;
    - *no*: rho is not below -0.1, or the control with shuffled embeddings shows it as well;
    - *partly*: rho is below 0, and nothing is shown to be left with similarity held fixed;
    - *yes*: rho is below 0, also with similarity held fixed, and the control, if run, kills it.
    """
    said = f"rho {figure(within)}"
    shortage = within.shortage()
    if shortage:
        return Verdict(QUESTION, "not decided", f"{shortage}.")
    if not within.below(0):
        if within.above(-NEGLIGIBLE_RHO):
            return Verdict(QUESTION, "no", f"within prompts and budgets {said}: no link, or the reverse one.")
        return Verdict(QUESTION, "not decided", f"within prompts and budgets {said}, which includes none and some.")
    if shuffled is not None:
        short = shuffled.shortage()
        if short:
            return Verdict(QUESTION, "not decided", f"{said}, but the control with shuffled embeddings has {short}.")
        if shuffled.below(0) and (shuffled.value or 0) < -NEGLIGIBLE_RHO:
            told = f"{said}, but shuffled embeddings show it too ({figure(shuffled)}): it is not the embedding."
            return Verdict(QUESTION, "no", told)
        if not shuffled.above(within.value or 0.0):
            told = f"{said}, but the control with shuffled embeddings is too noisy to differ ({figure(shuffled)})."
            return Verdict(QUESTION, "not decided", told)
    control = "shuffled embeddings kill it" if shuffled is not None else "the shuffled control was not run"
    if partial.below(0):
        held = f"{figure(partial)} with mean similarity held fixed; {control}"
        return Verdict(QUESTION, "yes", f"within prompts and budgets {said}, {held}.")
    left = f"{figure(partial)} with mean similarity held fixed: similarity alone may explain it; {control}"
    return Verdict(QUESTION, "partly", f"within prompts and budgets {said}, but {left}.")


def _gain(row: Row) -> float | None:
    found = quality(row)
    return None if found is None else 100 - found


def _selections(rows: Sequence[Row]) -> list[Row]:
    """Finetuned rows without gradient reuse: reuse changes the gain, not the picks."""
    return [
        row
        for row in rows
        if is_measured(row)
        and str(row.get("arm") or "finetune") == "finetune"
        and (row.get("reuse_interval") in (None, 1))
    ]


__all__ = ["NEGLIGIBLE_RHO", "QUESTION", "ResidualAnswer", "answer_residual", "judge"]
