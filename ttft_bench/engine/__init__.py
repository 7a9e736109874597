"""The finetuning engine: load a model, run a schedule of steps on it, score, restore.

It knows nothing of selectors, corpora or suites. Open :mod:`ttft_bench.engine.finetune` first: the loop
is there. What an adapted model is good for besides scores, in full::

    from ttft_bench.engine.finetune import Engine, Settings
    from ttft_bench.engine.model import load_model
    from ttft_bench.engine.schedule import Reuse, build_schedule
    from ttft_bench.engine.score import make_target, score, training_sequence

    model = load_model("MODEL")  # a local folder or hub id
    texts = {0: "The kettle is on the stove.", 1: "The cups are in the cupboard."}
    sequences = {item: training_sequence(model, text, max_tokens=256) for item, text in texts.items()}
    steps = build_schedule([0, 1, 1], Reuse(interval=2))  # the second step on 1 applies its gradient again

    engine = Engine(model, Settings(lr=5e-5))
    target = make_target(model, "Where are the cups?", max_tokens=256)
    before = score(model, target)  # bits per byte
    prompt = training_sequence(model, "The cups are", max_tokens=256)
    with engine.adapted(steps, sequences) as module:  # the transformers module itself, finetuned
        after = score(model, target)
        answer = module.generate(prompt[None], max_new_tokens=8, do_sample=False)
    assert score(model, target) == before  # bit for bit as before, also if something raised

A model has one adaptation at a time; opening another one inside is an error.
"""
