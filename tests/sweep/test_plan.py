from __future__ import annotations

import dataclasses
import random

import pytest

from ttft_bench.engine.schedule import Step, build_schedule
from ttft_bench.errors import UsageError
from ttft_bench.sweep.plan import Job, find_twins, make_cells, make_jobs, make_tasks, useful_reuse
from ttft_bench.sweep.suite import ControlSpec, SelectSpec, Suite


def job(label, budgets=(1, 2, 3), reuse=(1, 2)):
    return Job(label, label, "dist 1", "embedding", budgets, reuse)


def served(tasks):
    return {
        cell.cell_id: task.steps[:count]
        for task in tasks
        for count, cells in task.checkpoints.items()
        for cell in cells
    }


def test_nested_picks_are_served_by_one_run():
    cells = make_cells(["p"], [job("a", reuse=(1,))], "runs", {})
    tasks = make_tasks(cells, {("p", "a", n): [7, 8, 9][:n] for n in (1, 2, 3)})
    assert len(tasks) == 1
    assert list(tasks[0].checkpoints) == [1, 2, 3]


def test_every_cell_gets_exactly_its_own_schedule():
    jobs = [job("nested"), job("other")]
    picks = {("p", "nested", n): [1, 1, 2][:n] for n in (1, 2, 3)}
    picks |= {("p", "other", 1): [1], ("p", "other", 2): [3, 3], ("p", "other", 3): [3, 4, 4]}
    for grouping in ("runs", "global"):
        cells = make_cells(["p"], jobs, grouping, {})
        by_id = {cell.cell_id: cell for cell in cells}
        for cell_id, steps in served(make_tasks(cells, picks)).items():
            cell = by_id[cell_id]
            assert steps == build_schedule(picks["p", cell.job.label, cell.budget], cell.reuse)


def test_strategies_with_the_same_picks_share_a_run_and_reuse_without_repeats_costs_nothing():
    cells = make_cells(["p"], [job("a"), job("b")], "runs", {})
    picks = {("p", label, n): [4, 5, 6][:n] for label in "ab" for n in (1, 2, 3)}
    tasks = make_tasks(cells, picks)
    assert len(tasks) == 1
    assert len(served(tasks)) == len(cells) == 12


def test_under_global_grouping_a_smaller_budget_is_not_a_prefix():
    cells = make_cells(["p"], [job("a", (2, 3), (2,))], "global", {})
    tasks = make_tasks(cells, {("p", "a", 2): [1, 2], ("p", "a", 3): [1, 2, 1]})
    assert [task.steps for task in tasks] == [
        (Step(1, True), Step(1, False), Step(2, True)),
        (Step(1, True), Step(2, True)),
    ]


def plain_tasks(cells, picks):
    """The definition: longest schedules first, each one carried by the first task that begins with it."""
    schedules = {}
    for cell in cells:
        steps = build_schedule(picks[cell.prompt_id, cell.job.label, cell.budget], cell.reuse)
        schedules.setdefault((cell.prompt_id, cell.lr, cell.seed, steps), []).append(cell)
    found = []
    for (*where, steps), served in sorted(schedules.items(), key=lambda item: -len(item[0][3])):
        carrier = next((t for t in found if t[0] == where and t[1][: len(steps)] == steps), None)
        if carrier is None:
            carrier = (where, steps, {})
            found.append(carrier)
        carrier[2].setdefault(len(steps), []).extend(served)
    prompts = list(dict.fromkeys(where[0] for where, _, _ in found))
    return sorted(found, key=lambda task: prompts.index(task[0][0]))


def mixed(n_prompts, name=str):
    """Cells of several prompts, learning rates, seeds, groupings and strategies, nested and not, with their picks."""
    rng = random.Random(3)
    prompts = [name(f"p{number}") for number in range(n_prompts)]
    jobs = [job("nested"), job("copy"), job("other", (2, 5))]
    picks = {}
    for prompt in prompts:
        whole = [rng.randrange(3) for _ in range(5)]
        picks |= {(prompt, label, n): whole[:n] for label in ("nested", "copy") for n in (1, 2, 3)}
        picks |= {(prompt, "other", n): [rng.randrange(3) for _ in range(n)] for n in (2, 5)}
    return make_cells(prompts, jobs, ("runs", "global"), {}, lrs=(1e-3, 1e-4), seeds=2), picks


def test_tasks_are_those_of_the_plain_definition_in_its_order():
    cells, picks = mixed(5)
    random.Random(4).shuffle(cells)
    tasks = make_tasks(cells, picks)
    expected = plain_tasks(cells, picks)
    assert [([t.prompt_id, t.lr, t.seed], t.steps) for t in tasks] == [(where, steps) for where, steps, _ in expected]
    assert [list(t.checkpoints.items()) for t in tasks] == [
        [(count, tuple(served)) for count, served in sorted(points.items())] for _, _, points in expected
    ]
    assert len(tasks) < len(cells) and {cell.cell_id for cell in cells} == set(served(tasks))


def test_a_prompt_is_not_compared_with_every_other_one():
    """Else 1,800 prompts are planned for minutes; comparisons are counted, for seconds depend on the machine."""
    compared = []

    class Prompt(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other):
            compared.append(1)
            return str.__eq__(self, other)

    cells, picks = mixed(8, Prompt)
    compared.clear()
    assert len(make_tasks(cells, picks)) > 8
    assert len(compared) < len(cells)


def test_prompts_do_not_share():
    cells = make_cells(["p", "q"], [job("a", (1,), (1,))], "runs", {})
    assert [task.prompt_id for task in make_tasks(cells, {("p", "a", 1): [1], ("q", "a", 1): [1]})] == ["p", "q"]


def test_cells_without_picks_are_left_out():
    cells = make_cells(["p"], [job("a")], "runs", {})
    assert make_tasks(cells, {}) == []


def test_reuse_is_left_out_only_where_a_strategy_can_never_repeat():
    assert useful_reuse((2, 1, 2), repeats=True) == (1, 2)
    assert useful_reuse((1, 2), repeats=False) == (1,)
    assert useful_reuse((2, 3), repeats=False) == (2, 3), "asked for with reuse only: some rows there must be"


def test_a_finished_cell_with_the_same_steps_leaves_its_twin_nothing_to_do():
    cells = make_cells(["p"], [job("a", (1, 2)), job("b", (1, 2))], "runs", {}, lrs=(1e-3, 1e-4))
    picks = {("p", "a", 1): [1], ("p", "a", 2): [1, 2], ("p", "b", 1): [1], ("p", "b", 2): [1, 1]}
    done = {cell.cell_id for cell in cells if cell.reuse.interval == 1 and cell.lr == 1e-3}
    by_id = {cell.cell_id: cell for cell in cells}
    twins = {by_id[one]: by_id[other] for one, other in find_twins(cells, done, picks).items()}
    assert {(cell.job.label, cell.budget) for cell in twins} == {("a", 1), ("a", 2), ("b", 1)}, "b repeats at N = 2"
    for cell, finished in twins.items():
        assert (cell.reuse.interval, finished.reuse.interval, cell.lr, finished.lr) == (2, 1, 1e-3, 1e-3)
        assert (cell.job, cell.budget) == (finished.job, finished.budget)


def test_cell_ids_change_with_what_matters_only():
    base = make_cells(["p"], [job("a", (1,), (1,))], "runs", {"model": "m"})[0].cell_id
    assert base == make_cells(["p"], [job("a", (1,), (1,))], "global", {"model": "m"})[0].cell_id
    others = [
        make_cells(["q"], [job("a", (1,), (1,))], "runs", {"model": "m"}),
        make_cells(["p"], [job("b", (1,), (1,))], "runs", {"model": "m"}),
        make_cells(["p"], [job("a", (2,), (1,))], "runs", {"model": "m"}),
        make_cells(["p"], [job("a", (1,), (2,))], "runs", {"model": "m"}),
        make_cells(["p"], [job("a", (1,), (1,))], "runs", {"model": "n"}),
    ]
    assert base not in {cells[0].cell_id for cells in others}


def test_every_way_of_grouping_is_an_axis():
    cells = make_cells(["p"], [job("a", (1,), (1, 2))], ("runs", "global"), {}, modes=("cached", "skip"))
    settings = {(cell.reuse.interval, cell.reuse.grouping, cell.reuse.mode) for cell in cells}
    assert len(cells) == len(settings) == len({cell.cell_id for cell in cells}) == 5, "off is off"
    alone = make_cells(["p"], [job("a", (1,), (1, 2))], "runs", {})
    assert {cell.cell_id for cell in alone} < {cell.cell_id for cell in cells}, "ids stay those of earlier runs"


def test_seeds_are_runs_of_their_own_and_the_first_keeps_its_id():
    one, two = (make_cells(["p"], [job("a", (1, 2), (1,))], "runs", {}, seeds=seeds) for seeds in (1, 2))
    assert {cell.cell_id for cell in one} == {cell.cell_id for cell in two if cell.seed == 0}
    assert len({cell.cell_id for cell in two}) == 4
    tasks = make_tasks(two, {("p", "a", 1): [1], ("p", "a", 2): [1, 2]})
    assert sorted((task.seed, len(task.steps)) for task in tasks) == [(0, 2), (1, 2)]
    untrained = dataclasses.replace(job("a", (1,), (1,)), arms=("in-context",))
    assert len(make_cells(["p"], [untrained], "runs", {}, seeds=3)) == 1


def suite(*strategies, controls=()):
    return Suite("s", select=SelectSpec(strategies=strategies, budgets=(4, 2, 2), reuse=(2, 1)), controls=controls)


def test_jobs_are_canonical_and_sorted():
    jobs = make_jobs(suite("sift[lam=0.2]", "hullft[max_iter=9]", controls=(ControlSpec("ctl", "random", "random"),)))
    assert [j.label for j in jobs] == ["sift", "hullft[max_iter=9]", "ctl"]
    assert jobs[0].budgets == (2, 4) and jobs[0].reuse == (1, 2)
    assert [j.reuse for j in make_jobs(suite("knn", "knn-repeat"))] == [(1,), (1, 2)], "knn picks nothing twice"
    control = jobs[2]
    assert (control.control, control.spec, control.pool, control.budgets, control.reuse) == (
        True,
        "random",
        "random",
        (4,),
        (1,),
    )
    assert all(j.distribution.startswith("ttft-bench ") for j in jobs)


def test_a_strategy_given_twice_is_refused_also_when_spelled_differently():
    with pytest.raises(UsageError, match="sift is given twice"):
        make_jobs(suite("sift", "sift[lam=0.2]"))


def test_a_control_that_is_a_strategy_too_is_run_once_as_a_strategy():
    control = ControlSpec("knn-repeat", "knn-repeat", "embedding")
    assert [(j.label, j.control, j.budgets) for j in make_jobs(suite("knn-repeat", controls=(control,)))] == [
        ("knn-repeat", False, (2, 4))
    ]
    with pytest.raises(UsageError, match=r"knn-repeat and the control of that name differ .*knn on .*'random'"):
        make_jobs(suite("knn-repeat", controls=(ControlSpec("knn-repeat", "knn", "random"),)))
    with pytest.raises(UsageError, match="strategy knn-repeat is given twice: name each one once"):
        make_jobs(suite("knn-repeat", "knn-repeat", controls=(control,)))


def test_no_strategies_is_an_error():
    with pytest.raises(UsageError, match="no strategies"):
        make_jobs(suite())
