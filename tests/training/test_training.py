"""What training promises: strength zero is training alone, and nothing else leaks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.runs import KEY, hyper, model, only
from helpers.small import experiment
from ml_collections import ConfigDict

from redalign_jax import encoders, kinds
from redalign_jax.encoders import MLP
from redalign_jax.task import Split
from redalign_jax.training.data import Data
from redalign_jax.training.flat import layout
from redalign_jax.training.loop import TrainSpec, segment
from redalign_jax.training.model import alignment_losses, embed, init
from redalign_jax.training.start import start

STEPS = 50
OTHERS = ((90, "info_nce"), (40, "siglip"), (90, "vicreg"))


def data(labels=40, pairs=90, modalities=2, seed=0):
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((4, 3))

    def split(n, labelled):
        core = rng.standard_normal((n, 4))
        x = tuple(
            np.float32(np.concatenate([core, rng.standard_normal((n, 3 + m))], axis=1))
            for m in range(modalities)
        )
        return Split(x, np.argmax(core @ w, axis=1)[:labelled].astype(np.int32))

    return Data(split(pairs, labels), split(30, 30), split(30, 30))


@partial(jax.jit, static_argnums=(0, 3))
def run(m, h, d, steps=STEPS):
    """Trains alone, one step a segment: the final state and every step's losses."""
    state = start(m, h, KEY, d)

    def body(state, first):
        return segment(m, TrainSpec(steps, 16, steps), h, KEY, d, state, first)

    return jax.lax.scan(body, state, jnp.arange(steps))


@pytest.mark.parametrize(
    ("labels", "objective"),
    [
        (40, "info_nce"),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in OTHERS),
    ],
)
def test_strength_zero_is_training_alone(labels, objective):
    d = data(labels)
    _, both = run(model(objective=objective), hyper([2.0, 0.0]), d)
    _, alone = run(model(("b",), objective=objective), hyper([0.0]), only(d, 1))
    np.testing.assert_allclose(both.task_loss[:, 1], alone.task_loss[:, 0], rtol=1e-5)
    _, free = run(model(("a",), objective=objective), hyper([0.0]), only(d, 0))
    assert np.abs(both.task_loss[:, 0] - free.task_loss[:, 0]).max() > 1e-3


@pytest.mark.slow
def test_place_and_partners_do_not_change_an_encoder_alone():
    d = data(modalities=3)
    _, three = run(model(("a", "b", "c")), hyper([0.0, 0.0, 0.0]), d)
    swapped = Data(*(Split((s.x[2], s.x[0]), s.y) for s in d[:3]))
    _, two = run(model(("c", "a")), hyper([0.0, 0.0]), swapped)
    np.testing.assert_allclose(two.task_loss, three.task_loss[:, [2, 0]], rtol=1e-5)


def encoder_gradients(m, h, d):
    params = init(m, h, KEY, d.train.x)

    def loss(params):
        z = embed(m, params, d.train.x)
        return jnp.sum(alignment_losses(m, params, h, z, jnp.float32(1)))

    return jax.grad(loss)(params)


def test_alignment_gradient_is_strength_times_the_plain_one():
    d, m = data(), model()
    plain = encoder_gradients(m, hyper([1.0, 1.0]), d)
    directed = encoder_gradients(m, hyper([4.0, 0.0]), d)  # a power of two rounds nothing
    for leaf in jax.tree.leaves(directed["encoders"][1]):
        assert not leaf.any()
    for got, want in zip(
        jax.tree.leaves(directed["encoders"][0]),
        jax.tree.leaves(plain["encoders"][0]),
        strict=True,
    ):
        np.testing.assert_allclose(got, 4 * want, rtol=1e-5, atol=1e-7)
    # the projection on the side that is not moved is trained all the same
    assert jnp.abs(ravel(directed["projectors"][1])).max() > 0


def ravel(tree):
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])


def test_only_the_aligned_share_of_the_embedding_is_pulled():
    d, m = data(), model(projector=None)
    params = init(m, hyper([1.0, 1.0]), KEY, d.train.x)
    z = embed(m, params, d.train.x)

    def pull(h):
        return jax.grad(lambda z: jnp.sum(alignment_losses(m, params, h, z, jnp.float32(1))))(z)

    half = pull(hyper([1.0, 1.0], aligned_share=0.5))
    assert not half[0][:, 3:].any()
    assert jnp.abs(half[0][:, :3]).max() > 0
    nothing = pull(hyper([1.0, 1.0], aligned_share=0.0))
    assert not ravel(nothing).any()


def test_alignment_ends_when_it_is_told():
    d = data()
    _, on = run(model(), hyper([1.0, 1.0], align_fraction=0.4), d)
    _, whole = run(model(), hyper([1.0, 1.0]), d)
    _, never = run(model(), hyper([1.0, 1.0], align_fraction=0.0), d)
    _, off = run(model(), hyper([0.0, 0.0]), d)
    np.testing.assert_array_equal(never.task_loss, off.task_loss)
    last = int(0.4 * STEPS)
    np.testing.assert_allclose(on.task_loss[: last + 1], whole.task_loss[: last + 1], rtol=1e-5)
    assert np.abs(on.task_loss[last + 5 :] - whole.task_loss[last + 5 :]).max() > 1e-4


@pytest.mark.slow
def test_a_learned_temperature_starts_where_told_and_moves():
    d, m = data(), model(learned_temperature=True, bounded=False)
    state, _ = run(m, hyper([1.0, 1.0], temperature=2.0), d)
    learned = layout(m, d.train.x).unravel(state.params)["alignment"]["log_temperature"]
    fresh = init(m, hyper([1.0, 1.0], temperature=2.0), KEY, d.train.x)
    assert fresh["alignment"]["log_temperature"] == pytest.approx(np.log(2.0))
    assert float(learned) < np.log(2.0) - 0.05  # far too warm for pairs that can be told apart


def test_weight_decay_shrinks_kernels_only():
    d, m = data(), model()
    read = layout(m, d.train.x)
    free, _ = run(m, hyper([0.0, 0.0]), d)
    decayed, _ = run(m, hyper([0.0, 0.0], weight_decay=1.0), d)
    kernels = read.decayed == 1
    # a projection that feels no gradient shows decay alone: (1 − 0.003)^50
    shared = (read.owner == 2) & kernels
    np.testing.assert_allclose(
        decayed.params[shared], free.params[shared] * 0.997**STEPS, rtol=1e-4
    )
    biases = (read.owner == 2) & ~kernels
    np.testing.assert_array_equal(decayed.params[biases], free.params[biases])


def test_a_run_that_diverges_stops_and_says_so():
    d, m = data(), model()
    state, curve = run(m, hyper([1e6, 1e6], learning_rate=1e3), d)
    assert state.diverged.all()
    assert np.isfinite(state.params).all()
    fine, _ = run(m, hyper([1.0, 1.0]), d)
    assert not fine.diverged.any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "x"),
    [
        ({"kind": "transformer"}, np.ones((2, 5, 3), np.float32)),
        ({"kind": "transformer"}, np.ones((2, 5), np.int32)),
        ({"kind": "bag"}, np.ones((2, 5), np.int32)),
        ({"kind": "vit"}, np.ones((2, 8, 8, 1), np.uint8)),
        ({"kind": "cnn"}, np.ones((2, 8, 8, 1), np.uint8)),
    ],
)
def test_kernels_decay_and_nothing_else_does(encoder, x):
    options = experiment().encoder.to_dict() | {"width": 8, "depth": 1, "heads": 2, "patch": 4}
    built = encoders.build(ConfigDict(options | encoder), {"a": [x]}, [kinds.ready(x)], 4)
    m = model(("a",), encoders=built)
    read = layout(m, (x,))
    seen = set()
    for path, decays in jax.tree.leaves_with_path(read.unravel(jnp.float32(read.decayed))):
        name = path[-1].key
        seen.add(name)
        assert (decays == (name == "kernel")).all(), jax.tree_util.keystr(path)
    others = {"bag": {"embedding"}, "transformer": {"positions", "scale"}, "vit": {"positions"}}
    assert {"kernel", "bias"} | others.get(encoder["kind"], set()) <= seen


def spoilt(d, rows=slice(None), value=1e30):
    """`data` with training inputs of the first modality that no encoder survives."""
    x = d.train.x[0].copy()
    x[rows] *= value
    return d._replace(train=d.train._replace(x=(x, *d.train.x[1:])))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "projector", "debiased"),
    [
        ("info_nce", None, True),
        ("info_nce", MLP((8,), 5, "gelu"), False),
        ("siglip", None, False),
        ("vicreg", None, False),
    ],
)
@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_partners_of_an_encoder_that_diverges_go_on(objective, projector, debiased, strength):
    d = data(modalities=3)
    choices = {"objective": objective, "projector": projector, "debiased": debiased}
    state, curve = run(
        model(("a", "b", "c"), **choices), hyper([strength, strength, 1.0]), spoilt(d)
    )
    assert state.diverged.tolist() == [True, False, False]
    assert np.isfinite(state.params).all()
    # two partners share a strength, one has it all
    rest = Data(*(Split(s.x[1:], s.y) for s in d[:3]))
    _, alone = run(model(("b", "c"), **choices), hyper([strength / 2, 0.5]), rest)
    np.testing.assert_allclose(curve.task_loss[:, 1:], alone.task_loss, rtol=1e-4)
    np.testing.assert_allclose(curve.alignment_loss[:, 2], alone.alignment_loss[:, 0], rtol=1e-4)
    assert np.isnan(curve.alignment_loss[:, :2]).all()


@pytest.mark.slow
@pytest.mark.parametrize("value", [1e6, 1e30])
def test_one_that_diverges_on_the_way_leaves_the_other_as_it_was(value):
    d, m = data(labels=40), model()
    bad, curve = run(m, hyper([1.0, 0.0]), spoilt(d, slice(0, 6), value))
    good, _ = run(m, hyper([1.0, 0.0]), d)
    assert bad.diverged.tolist() == [True, False]
    own = layout(m, d.train.x).owner == 1
    np.testing.assert_allclose(bad.params[own], good.params[own], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_alignment_that_is_not_finite_stops_whom_it_moves():
    """Nothing is wrong with either encoder: the temperature is."""
    d, m = data(), model(bounded=False)
    state, curve = run(m, hyper([1.0, 0.0], temperature=1e-38), d)
    assert state.diverged.tolist() == [True, False]
    _, alone = run(model(("b",)), hyper([0.0]), only(d, 1))
    np.testing.assert_allclose(curve.task_loss[:, 1], alone.task_loss[:, 0], rtol=1e-5)


@pytest.mark.slow
def test_regression_learns_and_keeps_its_best():
    rng = np.random.default_rng(0)

    def split(n):
        x = rng.standard_normal((n, 4)).astype(np.float32)
        return Split((x, x[:, ::-1].copy()), x[:, 0] * 2 + 1)

    d = Data(split(200), split(50), split(50))
    m = model(classes=0)
    state, curve = run(m, hyper([0.0, 0.0], learning_rate=3e-2), d)
    assert (curve.task_loss[-5:].mean(axis=0) < 0.3 * curve.task_loss[0]).all()
    np.testing.assert_allclose(state.best_score, curve.valid.max(axis=0))
    np.testing.assert_array_equal(state.best_step, 1 + curve.valid.argmax(axis=0))
