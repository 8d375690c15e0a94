"""The largest block that fits in memory, also where only the compiler can tell."""

import jax
import numpy as np
import pandas as pd
import pytest
from helpers.small import experiment

from redalign_jax import sweep
from redalign_jax.errors import UserError
from redalign_jax.runtime import devices
from redalign_jax.sweep import lower, program
from redalign_jax.sweep.lower import by_turns
from redalign_jax.sweep.shape import Shape, cut
from redalign_jax.training.data import Data

pytestmark = pytest.mark.slow


@pytest.fixture
def fit(monkeypatch):
    """`program.fit` for 4 × 3 runs, its compiler out of memory above `most` runs per device."""
    tried = []

    def fitted(most, chunk=0, shape=None):
        mesh = devices.mesh()
        tried.clear()

        def compile_block(model, plan, settings, mesh, shape, *_):
            share = shape.rows * shape.settings // mesh.shape[devices.RUNS]
            tried.append(share)
            if share > most:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: hbm\nused 9 of 8 GB")
            return program.Program(shape, None, None, None, None, None, bytes=0)

        monkeypatch.setattr(program, "compile_block", compile_block)
        found = program.fit(None, None, None, mesh, (4, 3), Data(None, None, None), chunk, shape)
        return found.runs // mesh.shape[devices.RUNS], tried

    return fitted


@pytest.fixture
def by_memory(monkeypatch):
    """The block and turn that `program.fit` takes for 8 × 3 runs that hold and need so much."""

    def fitted(held, working, bound, shape=None):
        tried = []

        def compile_block(model, plan, settings, mesh, shape, *_):
            share = shape.rows * shape.settings // mesh.shape[devices.RUNS]
            at_once = (shape.turn or shape.rows // mesh.shape[devices.RUNS]) * shape.settings
            # a program by turns has what goes in and out of them once more
            temporary = at_once * working + (2 * share * held if shape.turn else 0)
            tried.append(shape)
            used = share * held + temporary
            return program.Program(shape, None, None, None, None, None, used, temporary)

        monkeypatch.setattr(program, "compile_block", compile_block)
        monkeypatch.setattr(devices, "memory_bound", lambda: bound)
        mesh = devices.mesh()
        size = (8 * mesh.shape[devices.RUNS], 3)
        found = program.fit(None, None, None, mesh, size, Data(None, None, None), 0, shape)
        assert found.bytes <= bound
        return tried

    return fitted


def test_runs_that_fit_but_cannot_be_trained_at_once_take_turns(by_memory):
    (whole,) = by_memory(held=1, working=10, bound=10_000)
    assert whole.turn == 0
    share = whole.rows * whole.settings // devices.mesh().shape[devices.RUNS]
    bound = 3 * share + 10 * share // 2
    first, turned = by_memory(1, 10, bound)
    assert first == whole and turned == whole._replace(turn=turned.turn) and turned.turn > 0
    assert by_memory(1, 10, bound, shape=turned) == [turned]
    tried = by_memory(held=10, working=1, bound=11 * share // 2)
    assert tried[-1].rows * tried[-1].settings < whole.rows * whole.settings
    assert not any(shape.turn for shape in tried)


def test_a_block_by_turns_has_the_results_of_the_block_at_once(tmp_path, monkeypatch):
    config = experiment(sweep__seeds=4, train__steps=4, train__evaluations=4)
    want = sweep.run(config, tmp_path / "once", progress=False)
    cut, widths = program.cut, set()
    monkeypatch.setattr(program, "cut", lambda *a, **k: cut(*a, **k)._replace(turn=2))

    def runs_by_turns(one, shape, mesh, most):
        widths.add(most)
        return by_runs(one, shape, mesh, most)

    by_runs = lower.runs_by_turns
    monkeypatch.setattr(lower, "runs_by_turns", runs_by_turns)
    found = sweep.run(config, tmp_path / "turns", progress=False)
    assert widths == {2}
    pd.testing.assert_frame_equal(found, want, check_exact=False, rtol=1e-5)


def test_out_of_memory_while_compiling_halves_down_to_one(fit, caplog):
    assert fit(most=6) == (6, [6])
    assert fit(most=3) == (3, [6, 3])
    assert fit(most=1) == (1, [6, 3, 2, 1])  # of targets 16, 4, 2, 1
    assert "out of memory compiling 3 runs per device" in caplog.text
    assert fit(most=1, chunk=5) == (1, [3, 2, 1])


def test_a_block_of_another_day_that_does_not_fit_any_more_is_cut_again(fit):
    known = Shape(rows=4, settings=3)
    assert fit(most=6, shape=known) == (6, [6])
    assert fit(most=3, shape=known) == (3, [6, 6, 3])


def test_a_run_that_does_not_fit_alone_is_one_line(fit):
    with pytest.raises(UserError, match=r"out of memory with 1 run per device .* hbm$") as caught:
        fit(most=0)
    assert "alignment.block" in str(caught.value)
    assert "sweep.runs_per_device" not in str(caught.value)


def test_other_errors_of_the_compiler_are_not_hidden(monkeypatch):
    def compile_block(*_):
        raise jax.errors.JaxRuntimeError("INTERNAL: a bug")

    monkeypatch.setattr(program, "compile_block", compile_block)
    with pytest.raises(jax.errors.JaxRuntimeError, match="a bug"):
        program.fit(None, None, None, devices.mesh(), (4, 3), Data(None, None, None))


@pytest.mark.parametrize(("rows", "most"), [(1, 1), (7, 7), (7, 3), (8, 3), (9, 4), (5, 1), (3, 8)])
def test_rows_by_turns_are_the_rows_at_once(rows, most):
    x, seed = np.random.default_rng(0).random((rows, 2)), np.arange(rows, dtype=np.uint32)
    widths = []

    def f(x, seed):
        widths.append(len(x))
        return {"sum": x.sum(1), "pair": (seed, x * seed[:, None])}

    found = jax.jit(by_turns(f, rows, most))(x, seed)
    assert max(widths) <= most
    jax.tree.map(np.testing.assert_array_equal, found, jax.jit(f)(x, seed))


def test_a_second_sweep_of_the_same_shapes_compiles_nothing(tmp_path, monkeypatch):
    """Other data, strengths and rates, the same program; other shapes have another."""
    first = sweep.run(experiment(), tmp_path / "first", progress=False)
    monkeypatch.setattr(jax.stages.Lowered, "compile", None)
    changes = {"sweep__first_seed": 7, "hyper__strength": (0.0, 2.0, 3.0)}
    second = sweep.run(experiment(**changes), tmp_path / "second", progress=False)
    assert list(first["metric"]) == list(second["metric"])
    assert not first["value"].equals(second["value"])
    again = sweep.run(experiment(), tmp_path / "again", progress=False)
    pd.testing.assert_frame_equal(again, first, check_exact=True)
    with pytest.raises(TypeError, match="not callable"):
        sweep.run(experiment(data__test=110), tmp_path / "other", progress=False)
    with jax.default_matmul_precision("float32"), pytest.raises(TypeError, match="not callable"):
        sweep.run(experiment(), tmp_path / "precise", progress=False)


def test_a_block_has_as_few_runs_as_asked_and_no_fewer():
    """A GPU's compiler fails on one run alone."""
    assert cut(1, 1, 1, 16, least=2) == Shape(2, 1)
    assert cut(1, 1, 4, 16, least=2) == Shape(8, 1)
    assert cut(5, 3, 1, 1, least=2) == Shape(2, 1)
    assert cut(5, 3, 1, 16, least=2) == cut(5, 3, 1, 16)
