"""Training with rows that miss a modality: what is there is learnt, what is not is never read."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.runs import KEY, hyper, model

from redalign_jax.encoders import CNN, MLP
from redalign_jax.measures import evaluate
from redalign_jax.task import Split
from redalign_jax.training.data import Data, Order
from redalign_jax.training.flat import layout
from redalign_jax.training.loop import TrainSpec, segment
from redalign_jax.training.model import alignment_losses
from redalign_jax.training.start import start

STEPS = 8
OBJECTIVES = ("info_nce", "siglip", "vicreg", "posterior")


def split(n, labels, modalities=2, seed=0, share=0.7):
    """Rows whose modalities are there with probability `share`, the first always."""
    rng = np.random.default_rng([seed, n])
    core = rng.standard_normal((n, 4))
    x = tuple(
        np.float32(np.concatenate([core, rng.standard_normal((n, 3))], axis=1))
        for _ in range(modalities)
    )
    present = rng.random((modalities, n)) < share
    present[0] = True
    y = np.argmax(core[:, :3], axis=1)[:labels].astype(np.int32)
    x = tuple(np.where(own[:, None], one, 0) for one, own in zip(x, present, strict=True))
    return Split(x, y, present)


def data(pairs=90, labels=40, **how):
    return Data(split(pairs, labels, **how), split(60, 60, **how), split(40, 40, **how))


def filled(d, value):
    """The task with something else where rows are missing."""

    def other(part):
        x = tuple(
            np.where(own[:, None], one, np.float32(value))
            for one, own in zip(part.x, part.present, strict=True)
        )
        return part._replace(x=x)

    return d._replace(train=other(d.train), valid=other(d.valid), test=other(d.test))


def spec(objective, modalities=("a", "b"), **changes):
    changes |= {"projector": None} if objective == "posterior" else {}
    return model(modalities, objective=objective, **changes)


@partial(jax.jit, static_argnums=(0, 3))
def run(m, h, d, batch=16):
    """Trains: the final state and every step's losses."""
    state = start(m, h, KEY, d)

    def body(state, first):
        return segment(m, TrainSpec(STEPS, batch, STEPS), h, KEY, d, state, first)

    return jax.lax.scan(body, state, jnp.arange(STEPS))


@partial(jax.jit, static_argnums=(0, 4))
def measured(m, h, d, state, examples=40):
    return evaluate.measure(m, evaluate.EvalSpec(examples, 3, 100), h, KEY, d, state)


def equal(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_what_a_missing_row_holds_is_nothing(objective):
    m, h = spec(objective), hyper([2.0, 1.0])
    d = data()
    want = run(m, h, d)
    assert not want[0].diverged.any()
    for value in (1e30, np.nan, np.inf):
        equal(run(m, h, filled(d, value)), want)
    if objective == "info_nce":
        known = measured(m, h, d, want[0])
        assert all(np.isfinite(value) for value in known.values())
        equal(measured(m, h, filled(d, np.nan), want[0]), known)


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_missing_row_feels_no_alignment_and_others_do(objective):
    m = spec(objective, ("a", "b", "c"))
    rng = np.random.default_rng(0)
    part = split(30, 30, modalities=3)
    present = part.present.copy()
    present[:, :3] = np.eye(3, dtype=bool)  # some have one modality alone
    state = start(m, hyper([1.0, 2.0, 0.5]), KEY, Data(part, part, part))
    read = layout(m, part.x)
    evidence = state.evidence
    if evidence is not None:
        evidence = evidence._replace(gate=jnp.full(3, 0.5), weight=jnp.full((3, 2), 0.5))
    h = [jnp.asarray(rng.normal(size=(30, 6)), jnp.float32) for _ in range(3)]

    def total(h):
        found = alignment_losses(
            m,
            read.unravel(state.params),
            hyper([1.0, 2.0, 0.5]),
            h,
            jnp.float32(1),
            evidence=evidence,
            present=jnp.asarray(present),
        )
        return jnp.sum(found)

    felt = np.stack([np.abs(g).max(axis=1) for g in jax.grad(total)(h)])
    alone = ~present | (present.sum(axis=0) < 2)
    assert not felt[alone].any()  # exactly
    assert (felt[~alone] > 0).mean() > 0.9  # but where all units of a projection are off


@pytest.mark.slow
def test_an_encoder_alone_is_trained_on_its_own_rows():
    """Whole batches: what is left of the task is that of the rows that b has."""
    d = data(40, 40)
    m, h = spec("info_nce"), hyper([0.0, 0.0])
    state, both = run(m, h, d, 40)

    def own(part):
        rows = part.present[1]
        return Split((part.x[1][rows],), part.y[rows])

    alone = Data(*(own(part) for part in d[:3]))
    m_b, h_b = model(("b",)), hyper([0.0])
    state_b, one = run(m_b, h_b, alone, len(alone.train.y))
    np.testing.assert_allclose(both.task_loss[:, 1], one.task_loss[:, 0], rtol=1e-4)
    np.testing.assert_allclose(both.valid[:, 1], one.valid[:, 0], atol=1e-6)
    got = measured(m, h, d, state)
    for (subject, metric), value in measured(m_b, h_b, alone, state_b).items():
        assert got[subject, metric] == pytest.approx(float(value), rel=1e-3, abs=1e-4), metric


@pytest.mark.slow
def test_an_encoder_that_has_all_rows_does_not_notice():
    d = data()
    whole = Data(*(part._replace(present=None) for part in d[:3]))
    _, some = run(spec("info_nce"), hyper([0.0, 0.0]), d)
    _, every = run(spec("info_nce"), hyper([0.0, 0.0]), whole)
    np.testing.assert_allclose(some.task_loss[:, 0], every.task_loss[:, 0], rtol=1e-5)
    assert np.abs(some.task_loss[:, 1] - every.task_loss[:, 1]).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["info_nce", "posterior"])
def test_a_mask_of_all_rows_is_none(objective):
    d, m, h = data(share=1.1), spec(objective), hyper([2.0, 1.0])
    whole = Data(*(part._replace(present=None) for part in d[:3]))
    state, some = run(m, h, d)
    _, every = run(m, h, whole)
    np.testing.assert_allclose(some.task_loss, every.task_loss, rtol=1e-3)
    np.testing.assert_allclose(some.alignment_loss, every.alignment_loss, rtol=1e-3, atol=1e-4)
    if objective == "info_nce":
        wanted = measured(m, h, whole, state)
        for key, value in measured(m, h, d, state).items():
            assert value == pytest.approx(float(wanted[key]), rel=1e-4, abs=1e-4), key


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_modalities_that_never_meet_are_trained_alone(objective):
    def apart(part):
        first = np.arange(len(part.x[0])) % 2 == 0
        return part._replace(present=np.stack([first, ~first]))

    d = data()
    d = Data(apart(d.train), apart(d.valid), apart(d.test))
    m = spec(objective)
    state, curves = run(m, hyper([4.0, 4.0]), d)
    _, alone = run(m, hyper([0.0, 0.0]), d)
    assert not state.diverged.any()
    assert (curves.alignment_loss == 0).all()
    np.testing.assert_allclose(curves.task_loss, alone.task_loss, rtol=1e-5)
    if objective != "info_nce":
        return
    found = measured(m, hyper([4.0, 4.0]), d, state)
    unknown = {key for key, value in found.items() if not np.isfinite(value)}
    similarity = {("a|b", k) for k in ("cka", "unbiased_cka", "svcca", "mutual_knn", "cknna")}
    fusion = {("fusion", k) for k in ("probe_accuracy", "probe_balanced_accuracy")}
    assert unknown == similarity | fusion


@pytest.mark.slow
def test_shuffled_partners_take_their_masks_along():
    d, h = data(), hyper([2.0, 2.0])
    rng = np.random.default_rng(1)
    order = Order(
        *(
            np.stack([rng.permutation(len(part.x[0])) for _ in range(2)])
            for part in (d.train, d.valid)
        )
    )
    m = spec("posterior")
    want = run(m, h, d._replace(order=order))
    equal(run(m, h, filled(d, 1e30)._replace(order=order)), want)

    def paired(part, own):
        x = tuple(one[rows] for one, rows in zip(part.x, own, strict=True))
        present = np.stack([one[rows] for one, rows in zip(part.present, own, strict=True)])
        return x, present

    # the alignment of shuffled pairs is that of a split whose rows are in that order
    x, present = paired(d.train, order.train)
    m = spec("info_nce")
    got = run(m, h, d._replace(order=order))[1].alignment_loss
    there = d._replace(train=Split(x, d.train.y, present))
    np.testing.assert_allclose(got[0], run(m, h, there)[1].alignment_loss[0], rtol=1e-5)


@pytest.mark.slow
def test_pairs_are_compared_on_the_rows_that_both_have():
    d, m, h = data(), spec("info_nce"), hyper([2.0, 1.0])
    state, _ = run(m, h, d)
    both = d.test.present.all(axis=0)
    some = Data(*(part._replace(present=None) for part in d[:3]))
    some = some._replace(test=Split(tuple(x[both] for x in d.test.x), d.test.y[both]))
    got, want = measured(m, h, d, state), measured(m, h, some, state, int(both.sum()))
    for key, value in want.items():
        if key[0] == "a|b":
            assert got[key] == pytest.approx(float(value), rel=1e-3, abs=1e-4), key


@pytest.mark.parametrize("classes", [3, 0])
def test_judgement_is_of_the_rows_that_are_there(classes):
    rng = np.random.default_rng(0)
    counted = rng.random(50) < 0.6
    y = rng.integers(3, size=50) if classes else rng.normal(size=50)
    shape = (50, 3) if classes else 50
    output = rng.normal(size=shape).astype(np.float32)
    y = y.astype(np.int32 if classes else np.float32)
    got = evaluate.quality(output, y, classes, counted=counted)
    want = evaluate.quality(output[counted], y[counted], classes)
    for name, value in want.items():
        assert got[name] == pytest.approx(float(value), rel=1e-5), name


@pytest.mark.slow
def test_convolutions_and_three_modalities_train():
    """Every pair on its own rows; images of levels and a modality that few rows have."""
    d = data(modalities=3)

    def with_image(part):
        rng = np.random.default_rng(len(part.x[0]))
        image = rng.integers(0, 256, (len(part.x[0]), 8, 8, 1)).astype(np.uint8)
        image[~part.present[2]] = 0
        return part._replace(x=(*part.x[:2], image))

    d = Data(*(with_image(part) for part in d[:3]))
    m = model(("a", "b", "c"), encoders=(MLP((16,), 6), MLP((16,), 6), CNN((4,), 6)))
    state, curves = run(m, hyper([1.0, 1.0, 1.0]), d)
    assert not state.diverged.any() and np.isfinite(curves.alignment_loss).all()
