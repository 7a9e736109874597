"""``python -m ttft_bench``, and the ``ttft-bench`` command itself: an interrupt is quiet from the first import on."""

import sys


def main() -> None:
    """Import the command line and run it."""
    try:
        from ttft_bench.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
