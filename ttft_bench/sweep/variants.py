"""A suite with variants: one run for each, in a folder of its own, and all of them made one.

``FOLDER/variants/LABEL`` is a run folder like any other, with its own identity, picks and journal: it can be resumed,
copied, or finetuned on another machine. What they come to together stands in ``FOLDER``, made anew from them each time,
so that nothing is lost with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ttft_bench.errors import ResumeError, TtftBenchError
from ttft_bench.sweep import store
from ttft_bench.sweep.agreement import VARIANTS
from ttft_bench.sweep.request import Outcome, Reporter, Request


def requests(request: Request) -> list[tuple[str, Request]]:
    """What to run for each variant, with its label; the request itself, without one, if the suite has no variants.

    Raises:
        ResumeError: the folder holds a run that is none of variants.
    """
    if not request.suite.variants:
        return [("", request)]
    _refuse_other_run(request.folder)
    return [
        (
            label,
            replace(
                request,
                suite=suite,
                folder=request.folder / VARIANTS / label,
                picks=request.picks / VARIANTS / label if request.picks is not None else None,
            ),
        )
        for label, suite in request.suite.runs()
    ]


def run_all(
    run: Callable[[Request, Reporter], Outcome], request: Request, reporter: Reporter, *, merge: bool = False
) -> Outcome:
    """Run every variant; a suite without variants is run as it is.

    Args:
        run: what runs one: :func:`ttft_bench.sweep.run.run_sweep` or ``run_selection``.
        request: what to run.
        reporter: is told which variant's turn it is.
        merge: make one run of them all in the request's folder.

    Returns:
        Cells by status, over all variants.

    Raises:
        TtftBenchError: the first error that ended a variant, after all others had their turn.
        ResumeError: the folder holds a run that is none of variants.
    """
    parts = requests(request)
    if not request.suite.variants:
        return run(request, reporter)
    outcomes, errors = [], []
    for label, part in parts:
        reporter.note(f"variant {label}")
        try:
            outcomes.append(run(part, reporter))
        except TtftBenchError as error:
            reporter.note(f"variant {label} cannot be run: {error}")
            errors.append(error)
    if merge:
        for warning in merge_variants(request):
            reporter.note(f"warning: {warning}")
    if errors:
        raise errors[0]
    return Outcome(request.folder, sum(one.ok for one in outcomes), sum(one.failed for one in outcomes))


def merge_variants(request: Request) -> tuple[str, ...]:
    """Make one run of every variant that has rows, also of those that this request leaves out; say what is missing."""
    from ttft_bench.sweep.merge import write_merge

    folder = request.folder / VARIANTS
    wanted = [variant.label for variant in request.suite.variants]
    there = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    labels = [*wanted, *(label for label in there if label not in wanted)]
    paths = [folder / label for label in labels if store.has_journal(folder / label / store.RESULTS)]
    if not paths:
        return ()
    return write_merge(paths, request.folder, variants=[path.name for path in paths]).warnings


def _refuse_other_run(folder: Path) -> None:
    manifest = store.read_manifest(folder) if folder.is_dir() else None
    if manifest is not None and "variants" not in manifest:
        raise ResumeError(f"{folder} holds another run, which is none of variants: give another --output")


__all__ = ["VARIANTS", "merge_variants", "requests", "run_all"]
