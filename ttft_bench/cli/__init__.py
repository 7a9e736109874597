"""The command line: one file per command, no logic. Heavy imports happen inside the commands.

``ttft-bench --help`` and ``ttft-bench strategies`` import neither torch nor any plug-in.
"""

from __future__ import annotations

import functools
import sys

import typer

import ttft_bench.cli.adapt as adapt_command
import ttft_bench.cli.align as align_command
import ttft_bench.cli.assets as assets_command
import ttft_bench.cli.cache as cache_command
import ttft_bench.cli.check as check_command
import ttft_bench.cli.compare as compare_command
import ttft_bench.cli.corpus as corpus_command
import ttft_bench.cli.doctor as doctor_command
import ttft_bench.cli.embedders as embedders_command
import ttft_bench.cli.merge as merge_command
import ttft_bench.cli.report as report_command
import ttft_bench.cli.schema as schema_command
import ttft_bench.cli.select as select_command
import ttft_bench.cli.statistics as statistics_command
import ttft_bench.cli.strategies as strategies_command
import ttft_bench.cli.suites as suites_command
import ttft_bench.cli.sweep as sweep_command
import ttft_bench.cli.verify as verify_command
from ttft_bench.cli.everywhere import add_flags, run_app

app = typer.Typer(
    name="ttft-bench",
    help="Benchmark of selection strategies for test-time finetuning of language models.",
    no_args_is_help=True,
    epilog=(
        "Exit codes: 0 all ok; 1 some cells or checks failed, results are kept; 2 usage; 3 plug-in or library missing "
        "or broken; 4 data or model missing, or a file that cannot be used; 70 a fault of ttft-bench; 130 interrupted, "
        "rows are kept; 141 the reader of the output went away."
    ),
    rich_markup_mode="markdown",  # rich's own markup would swallow the brackets of specs
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("sweep")(sweep_command.sweep)
app.command("select")(select_command.select)
app.command("report")(report_command.report)
app.command("statistics")(statistics_command.statistics)
app.command("align")(align_command.align)
app.command("compare")(compare_command.compare)
app.command("merge")(merge_command.merge)
app.command("adapt")(adapt_command.adapt)
app.command("verify")(verify_command.verify)
app.command("check")(check_command.check)
app.command("schema")(schema_command.schema)
app.command("strategies")(strategies_command.strategies)
app.command("suites")(suites_command.suites)
app.command("embedders")(embedders_command.embedders)
app.command("doctor")(doctor_command.doctor)
app.add_typer(assets_command.app, name="assets")
app.add_typer(corpus_command.app, name="corpus")
app.add_typer(cache_command.app, name="cache")


def _show_version(value: bool) -> None:
    if value:
        from ttft_bench import __version__

        typer.echo(f"ttft-bench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Benchmark of selection strategies for test-time finetuning of language models."""


add_flags(app)


def main() -> None:
    """Run the command line; deliberate errors become one message on stderr and their exit code."""
    # One name in every usage line and hint, however it was started: `python -m`, a link, a wrapper.
    sys.exit(run_app(functools.partial(app, prog_name="ttft-bench")))


__all__ = ["app", "main"]
