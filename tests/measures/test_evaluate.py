"""How good predictions are, against float64 arithmetic; what is measured is measured in float32."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.runs import KEY, hyper, model
from helpers.small import experiment
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from redalign_jax.data import splits
from redalign_jax.encoders import CNN, MLP
from redalign_jax.encoders.transformer import SequenceTransformer, ViT
from redalign_jax.measures import evaluate
from redalign_jax.pid import crossfit, exact
from redalign_jax.sweep import block
from redalign_jax.sweep.grid import Cell, Group, arrays, build_model
from redalign_jax.task import Split
from redalign_jax.training import loop
from redalign_jax.training.data import Data
from redalign_jax.training.flat import layout
from redalign_jax.training.loop import TrainSpec, segment
from redalign_jax.training.start import start
from redalign_jax.training.validate import heads


@pytest.mark.slow
@given(n=st.integers(3, 40), seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_a_regression_with_labels_that_are_zero(n, seed):
    rng = np.random.default_rng(seed)
    output = np.float32(rng.integers(-3, 4, n) / 2)  # zeros among the predictions, too
    y = np.float32(rng.integers(-3, 4, n))
    got = {k: float(v) for k, v in evaluate.quality(output, y, 0).items()}
    pairs = list(zip(output.tolist(), y.tolist(), strict=True))
    signed = [(p > 0) == (t > 0) for p, t in pairs if t != 0]
    assert got["mae"] == pytest.approx(np.mean([abs(p - t) for p, t in pairs]), rel=1e-5)
    assert got["sign_accuracy"] == pytest.approx(sum(signed) / max(len(signed), 1))
    assert got["sign_accuracy_zeros"] == pytest.approx(
        np.mean([(p >= 0) == (t >= 0) for p, t in pairs])
    )
    if len(set(output)) > 1 and len(set(y)) > 1:
        expected = np.corrcoef(np.float64(output), np.float64(y))[0, 1]
        assert got["corr"] == pytest.approx(expected, abs=1e-5)
    else:
        assert got["corr"] == 0


@given(n=st.integers(3, 40), zero=st.sampled_from([-0.5, 0.0, 1.0]), seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_signs_are_those_of_the_units_of_the_user(n, zero, seed):
    rng = np.random.default_rng(seed)
    output, y = np.float32(rng.integers(-3, 4, (2, n)) / 2)
    got = evaluate.quality(output, y, 0, zero=np.float32(zero))
    shifted = evaluate.quality(output - np.float32(zero), y - np.float32(zero), 0)
    for name in ("sign_accuracy", "sign_accuracy_zeros"):
        assert float(got[name]) == pytest.approx(float(shifted[name]))


@given(seed=st.integers(0, 2**31), present=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_balanced_accuracy_is_scikit_learns(seed, present):
    rng = np.random.default_rng(seed)
    y = rng.choice(rng.permutation(4)[:present], 30)
    logits = rng.standard_normal((30, 4)).astype(np.float32)
    got = evaluate.quality(logits, y, 4, "early_")["early_balanced_accuracy"]
    right = [np.mean(logits.argmax(1)[y == c] == c) for c in np.unique(y)]
    assert float(got) == pytest.approx(np.mean(right), abs=1e-6)
    if set(logits.argmax(1)) <= set(y):  # scikit-learn warns otherwise
        assert float(got) == pytest.approx(balanced_accuracy_score(y, logits.argmax(1)), abs=1e-6)


def products(jaxpr):
    """All equations that multiply matrices, in whatever is nested."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name.startswith(("dot_general", "ragged_dot", "conv_general")):
            yield eqn
        for inner in jax.tree.leaves(
            list(eqn.params.values()), is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr")
        ):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from products(inner)


def imprecise(f, *args):
    """The products of f that matrix units may round, and the number of all."""
    found = list(products(jax.make_jaxpr(f)(*args).jaxpr))
    highest = (jax.lax.Precision.HIGHEST,) * 2
    return [e for e in found if e.params["precision"] != highest], len(found)


@pytest.mark.parametrize("precision", ["default", "high", "highest"])
def test_products_of_training_are_as_precise_as_asked(precision):
    d, h = shaped((ROWS, IMAGES)), hyper([1.0, 1.0])
    m = model(encoders=(MLP((8,), 4), CNN((4,), 4)))
    plan, state = TrainSpec(2, 8, 1, precision=precision), start(m, h, KEY, d)
    jaxpr = jax.make_jaxpr(loop.train, static_argnums=(0, 1, 7))(m, plan, h, KEY, d, state, 0, 2)
    found = {e.params["precision"] for e in products(jaxpr.jaxpr)}
    asked = {"default": None}.get(precision, (jax.lax.Precision(precision),) * 2)
    assert found - {(jax.lax.Precision.HIGHEST,) * 2} <= {asked} and asked in found


def shaped(x):
    """A small task of these inputs, one array per modality."""

    def split(n):
        return Split(tuple(np.resize(a, (n, *a.shape[1:])) for a in x), np.arange(n) % 3)

    return Data(split(40), split(20), split(20))


RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((40, 5)).astype(np.float32)
IMAGES = RNG.integers(0, 256, (40, 8, 8, 1)).astype(np.uint8)
STEPS = RNG.standard_normal((40, 4, 3)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("x", "modules", "choices"),
    [
        ((ROWS, ROWS), (MLP((8,), 4),) * 2, {}),
        ((ROWS, ROWS), (MLP((8,), 4),) * 2, {"objective": "siglip", "classes": 0}),
        ((IMAGES, ROWS), (CNN((4,), 4), MLP((), 4)), {"objective": "vicreg"}),
        (
            (STEPS, IMAGES),
            (SequenceTransformer(8, 1, 2, 4), ViT(4, 8, 1, 2, 4)),
            {"bounded": False, "debiased": True, "projector": None},
        ),
        ((ROWS, ROWS), (MLP((8,), 4),) * 2, {"block": 5}),
    ],
)
def test_all_that_is_measured_has_full_precision(x, modules, choices):
    d, h = shaped(x), hyper([1.0, 1.0])
    m = model(encoders=modules, **choices)
    if not m.classes:
        d = jax.tree.map(np.float32, d)._replace(zero=np.float32(0.1))
    key = jax.random.key(0)
    state = start(m, h, key, d)
    found = partial(evaluate.measure, m, evaluate.EvalSpec(10, 3, 30))
    wrong, count = imprecise(found, h, key, d, state)
    assert not wrong and count > 20
    read = layout(m, d.train.x)
    wrong, count = imprecise(lambda p: heads(m, read.unravel(p), d.valid), state.params)
    assert not wrong and count
    # the walk can tell: what trains keeps the default
    plan = TrainSpec(2, 8, 1)
    wrong, _ = imprecise(partial(segment, m, plan), h, key, d, state, 0)
    assert wrong


def test_the_decomposition_has_full_precision():
    p = np.full((3, 3, 2), 1 / 18)
    wrong, count = imprecise(lambda p: exact._decompose(p, 1e-5, 10), p)
    assert not wrong and count
    rows = np.arange(40)
    fold = crossfit.Partition(
        rows[None, :30], rows[None, 30:], jax.random.split(jax.random.key(0), 1)
    )
    m = model(("x",), encoders=(MLP((), 3),), projector=None)
    plan, h = TrainSpec(10, 8, 10), hyper([0.0])
    y = jnp.asarray(rows % 3)
    found = list(
        products(
            jax.make_jaxpr(crossfit._train, static_argnums=(0, 1))(m, plan, h, ROWS, y, fold).jaxpr
        )
    )
    judged = [e for e in found if e.params["precision"] is not None]
    assert len(judged) >= 4  # encoder and head, of the fold and of training's own look


def test_similarity_is_of_drawn_rows():
    """Published splits are in the order of a file; its first rows are no sample."""
    assert evaluate._sample(jax.random.key(0), 7, 7).tolist() == list(range(7))
    drawn = [evaluate._sample(jax.random.key(k), 1000, 50) for k in range(40)]
    assert all(len(set(d.tolist())) == 50 for d in drawn)
    assert not np.array_equal(drawn[0], drawn[1])
    # 2,000 rows drawn uniformly: mean 499.5 within four standard errors
    assert abs(np.mean(drawn) - 499.5) < 4 * 289 / np.sqrt(2000)


@pytest.mark.slow
def test_the_units_of_a_regression_change_nothing_but_the_units():
    units = [(1, 0), (1e-9, 0), (1e9, 0), (1e5, 3e5), (1, 300), (1e-9, -1e-6), (10, 1.7e9)]
    rng = np.random.default_rng(0)
    views = {m: rng.standard_normal((160, d)) for m, d in (("a", 4), ("b", 3))}
    target = views["a"][:, 0] + views["b"][:, 0] + 0.3 * rng.standard_normal(160)
    config = experiment(measure__examples=20, train__steps=100, train__evaluations=2)
    split = {"labels": 0, "valid": 0.2, "test": 0.2, "seed": 0, "source": "y"}
    tasks = [splits.make_task(views, target * a + b, **split) for a, b in units]
    cells = [Cell(i, {"seed": 0}, lambda seed, one=one: one, 0, 4) for i, one in enumerate(tasks)]
    group = Group(build_model(config, tasks[0], 4), arrays(tasks[0]), cells)
    hyper = {name: values[0] for name, values in config.hyper.items()}
    settings = [hyper | {"strength": 1.0}]
    program = block.compiled(config, group, 1, shape=None, chunk=len(units))
    (part,) = block.cut(config, group, settings, program)
    tables = block.train(part, lambda carry: None)
    assert not tables[0]["diverged"].any()
    for table, keys in zip(
        tables, (["subject", "metric"], ["subject", "metric", "step"]), strict=True
    ):
        value = table.pivot_table(index=keys, columns="place", values="value", sort=False)
        error = [
            m == "task_loss" or m.endswith("mae") for m in value.index.get_level_values("metric")
        ]
        signs = value.index.get_level_values("metric").str.contains("sign")
        for place, (a, b) in enumerate(units):
            close = 0.02 if b > 1e9 else 1e-3  # 1.7e9 has 7 digits after the point
            scale = np.where(error, a, 1.0)
            same = ~signs if b else np.ones(len(value), bool)
            np.testing.assert_allclose(
                (value[place] / scale)[same], value[0][same], rtol=close, atol=close * 1e-2
            )
    mae = tables[0].query("metric == 'mae' and place == 0")["value"]
    assert (mae < np.mean(abs(target - np.median(target)))).all()  # in raw units it is above
