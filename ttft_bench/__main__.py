"""``python -m ttft_bench``: the same as the ``ttft-bench`` command."""

from ttft_bench.cli import main

if __name__ == "__main__":
    main()
