"""The finetuning engine: load a model, run a schedule of steps on it, score, restore.

It knows nothing of selectors, corpora or suites. Open :mod:`ttft_bench.engine.finetune` first: the loop
is there.
"""
