"""Encoders against independent float64 references, and convolutional ones in a whole sweep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.runs import hyper, model
from helpers.small import experiment
from scipy.signal import correlate2d

from redalign_jax import sweep
from redalign_jax.data.sources import arrays
from redalign_jax.encoders import CNN, MLP, cnn
from redalign_jax.errors import UserError
from redalign_jax.sweep import grid
from redalign_jax.task import Split
from redalign_jax.training import embedded
from redalign_jax.training.model import embed, init

pytestmark = pytest.mark.slow


def reference(params, image):
    """One image (h, w, c) through a CNN, in float64, one convolution at a time."""
    *stages, last = (
        [np.asarray(params["params"][name][k], np.float64) for k in ("kernel", "bias")]
        for name in sorted(params["params"])
    )
    x = image.astype(np.float64)
    for kernel, bias in stages:
        kernel = kernel.reshape(3, 3, x.shape[2], -1)
        out = np.stack(
            [
                sum(correlate2d(x[..., c], kernel[..., c, o], "same") for c in range(x.shape[2]))
                for o in range(kernel.shape[3])
            ],
            axis=-1,
        )
        out = np.maximum(out + bias, 0)[: out.shape[0] // 2 * 2, : out.shape[1] // 2 * 2]
        h, w, o = out.shape
        x = out.reshape(h // 2, 2, w // 2, 2, o).max(axis=(1, 3))
    return x.transpose(2, 0, 1).ravel() @ last[0] + last[1]


@pytest.mark.parametrize(
    ("shape", "dtype"), [((9, 8), np.float32), ((6, 11, 3), np.float32), ((8, 8, 1), np.uint8)]
)
def test_cnn_is_convolution_activation_and_pooling(shape, dtype):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (3, *shape)).astype(dtype)
    encoder = CNN((4, 5), 6)
    params = encoder.init(jax.random.key(0), x[:1])
    params = jax.tree.map(lambda p: jnp.asarray(rng.standard_normal(p.shape), jnp.float32), params)
    images = x / (255 if dtype == np.uint8 else 1)
    images = images.reshape(*x.shape[:3], -1)
    want = [reference(params, image) for image in images]
    got = encoder.apply(params, x)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize("encoder", [MLP((16,), 4), CNN((4,), 4)])
def test_gradient_is_that_of_finite_differences(encoder):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((5, 4, 4)).astype(np.float32)
    params = encoder.init(jax.random.key(0), x)
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    weights = rng.standard_normal((5, 4))

    def loss(flat):
        return jnp.sum(weights * encoder.apply(unravel(flat), x))

    gradient = jax.grad(loss)(flat)
    for _ in range(5):
        way = jnp.asarray(rng.standard_normal(flat.shape), jnp.float32) / len(flat) ** 0.5
        step = 1e-2
        slope = (loss(flat + step * way) - loss(flat - step * way)) / (2 * step)
        assert float(gradient @ way) == pytest.approx(float(slope), rel=0.03, abs=0.02)


def test_a_convolution_has_the_gradient_of_lax_conv():
    rng = np.random.default_rng(4)
    x = jnp.asarray(rng.standard_normal((3, 7, 6, 5)), jnp.float32)  # (c, h, w, n)
    kernel = jnp.asarray(rng.standard_normal((27, 4)), jnp.float32)
    weights = jnp.asarray(rng.standard_normal((4, 7, 6, 5)), jnp.float32)

    def plain(kernel, x):
        taps = kernel.reshape(3, 3, 3, 4)
        out = jax.lax.conv_general_dilated(
            x, taps, (1, 1), "SAME", dimension_numbers=("CHWN", "HWIO", "CHWN")
        )
        return (weights * out).sum()

    def own(kernel, x):
        return (weights * cnn._convolve(kernel, x)).sum()

    for got, want in zip(*(jax.grad(f, (0, 1))(kernel, x) for f in (own, plain)), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("rows", "most"), [(5, 2), (6, 3), (3, 8)])
def test_a_split_embedded_by_turns_is_the_split_embedded_whole(rows, most, monkeypatch):
    x = jnp.asarray(np.random.default_rng(5).standard_normal((rows, 6, 6, 1)), jnp.float32)
    m = model(encoders=(CNN((3,), 4),) * 2)
    params = init(m, hyper([1.0, 1.0]), jax.random.key(0), (x, x))
    want = embed(m, params, (x, x))
    monkeypatch.setattr(embedded, "HEAVY_TURN", most)
    got = embedded.embedded(m, params, Split((x, x), None))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_bfloat16_computes_coarsely_and_keeps_float32():
    x = np.random.default_rng(2).standard_normal((20, 8, 8)).astype(np.float32)
    for kind in (MLP, CNN):
        fine, coarse = kind((8,), 4), kind((8,), 4, "relu", "bfloat16")
        params = coarse.init(jax.random.key(0), x)
        assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(params))
        want, got = fine.apply(params, x), coarse.apply(params, x)
        assert got.dtype == jnp.float32
        error = np.abs(got - want).max() / np.abs(want).max()
        assert 1e-5 < error < 0.05


def images(tmp_path, **changes):
    """A sweep on two views of 8×8 and 10×8×2 pixels that are brighter in one class."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 300)
    a = rng.random((300, 8, 8)) + y[:, None, None]
    b = rng.random((300, 10, 8, 2)) + y[:, None, None, None]
    np.savez(tmp_path / "mine.npz", a=np.float32(a), b=np.float32(b), labels=y)
    config = experiment(encoder__kind="cnn", encoder__hidden_sizes=(4, 4), **changes)
    with config.unlocked():
        config.data = arrays.defaults()
        config.data.path = str(tmp_path / "mine.npz")
        config.data.modalities = ("a,b",)
    return config


def test_a_sweep_of_convolutional_encoders_learns(tmp_path):
    table = sweep.run(images(tmp_path, train__steps=100), tmp_path / "runs", progress=False)
    accuracy = table[table.metric == "accuracy"]
    assert (accuracy.value > 0.95).all()


def test_what_a_cnn_cannot_take_is_refused(tmp_path):
    with pytest.raises(UserError, match="encoder.kind: 'cnn' does not read 'x1'"):
        grid.groups(experiment(encoder__kind="cnn"))
    config = images(tmp_path)
    config.encoder.hidden_sizes = (4, 4, 4, 4)
    with pytest.raises(UserError, match="encoder.hidden_sizes: 4 stages"):
        grid.groups(config)
