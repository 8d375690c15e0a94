"""Encoders read what they are made for, and nothing after its end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.small import experiment
from ml_collections import ConfigDict

from redalign_jax import encoders
from redalign_jax.config import check
from redalign_jax.errors import UserError
from redalign_jax.kinds import ready


def options(**changes):
    given = {
        "d_model": 8,
        "depth": 1,
        "heads": 2,
        "patch_size": 4,
        "hidden_sizes": (8,),
        "kind": "auto",
    }
    return ConfigDict(experiment().encoder.to_dict() | given | changes)


def text(rng, n=6, t=7, words=20):
    x = rng.integers(1, words, (n, t)).astype(np.int32)
    x[np.arange(t) >= rng.integers(0, t + 1, n)[:, None]] = 0
    return x


def sequence(rng, n=6, t=7, d=3):
    x = rng.standard_normal((n, t, d)).astype(np.float32)
    x[np.arange(t) >= rng.integers(0, t + 1, n)[:, None]] = 0
    return x


def image(rng, n=6, h=9, w=8):
    return rng.integers(0, 256, (n, h, w, 3)).astype(np.uint8)


def rows(rng, n=6):
    return rng.standard_normal((n, 5)).astype(np.float32)


def encoder(make, **changes):
    x = make(np.random.default_rng(0))
    (module,) = encoders.build(options(**changes), {"x": [x]}, [ready(x)], 4)
    return x, module, module.init(jax.random.key(0), x)


READERS = [
    (make, kind)
    for make, form in ((rows, "vector"), (image, "image"), (sequence, "sequence"), (text, "tokens"))
    for kind, forms in encoders.KINDS.items()
    if form in forms
]


@pytest.mark.parametrize(("make", "kind"), READERS)
def test_every_example_is_encoded_for_itself(make, kind):
    x, module, params = encoder(make, kind=kind)
    h = module.apply(params, x)
    assert h.shape == (6, 4)
    assert h.dtype == jnp.float32
    assert np.isfinite(h).all()
    np.testing.assert_allclose(module.apply(params, x[2:4]), h[2:4], atol=1e-5)
    # every pixel, step and word matters to its own example alone
    other = x.copy()
    other[3] = make(np.random.default_rng(1))[3]
    changed = np.abs(module.apply(params, other) - h).max(axis=1) > 1e-4
    assert changed.tolist() == [False] * 3 + [True] + [False] * 2


@pytest.mark.parametrize(
    ("make", "kind"), [(sequence, "transformer"), (text, "transformer"), (text, "bag")]
)
def test_nothing_after_the_end_is_read(make, kind):
    """A longer array with the same sequences gives the same embeddings."""
    x, module, params = encoder(make, kind=kind)
    h = module.apply(params, x)
    longer = np.concatenate([x, np.zeros_like(x[:, :3])], axis=1)
    if kind == "transformer":  # positions of the new steps, which must not matter
        blocks = params["params"]["Blocks_0"]
        blocks["positions"] = jnp.concatenate([blocks["positions"], jnp.full((3, 8), 9.0)])
    np.testing.assert_allclose(module.apply(params, longer), h, atol=1e-5)


def test_a_bag_has_no_order_and_a_transformer_has_one():
    backwards = {}
    for kind in ("bag", "transformer"):
        x, module, params = encoder(
            lambda rng: rng.integers(1, 9, (4, 6)).astype(np.int32), kind=kind
        )
        h = module.apply(params, x)
        backwards[kind] = np.abs(module.apply(params, x[:, ::-1]) - h).max()
    assert backwards["bag"] < 1e-5
    assert backwards["transformer"] > 1e-3


def test_words_without_a_label_say_next_to_nothing_in_a_bag():
    x, module, params = encoder(text, kind="bag")
    h = module.apply(params, np.zeros_like(x))
    assert np.abs(module.apply(params, x) - h).max() < 0.05


def test_bfloat16_is_near_float32():
    x, module, params = encoder(sequence, kind="transformer")
    _, small, _ = encoder(sequence, kind="transformer", dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    h, coarse = module.apply(params, x), small.apply(params, x)
    assert coarse.dtype == jnp.float32
    error = np.abs(coarse - h).max() / np.abs(h).max()
    assert 1e-5 < error < 0.05


def test_what_does_not_fit_is_named():
    rng = np.random.default_rng(0)
    inputs, what = {"picture": [image(rng)], "name": [text(rng)]}, ("image", "tokens")
    with pytest.raises(UserError, match=r"encoder\.kind: 'bag' does not read 'picture'"):
        encoders.build(options(kind="bag"), inputs, what, 4)
    with pytest.raises(UserError, match=r"encoder\.kind: 'vit,bag,mlp' is not one for all or"):
        encoders.build(options(kind="vit,bag,mlp"), inputs, what, 4)
    assert encoders.kinds(options(kind="vit,bag"), inputs, what) == ("vit", "bag")
    for name, value, message in (
        ("kind", "lstm", "encoder.kind: 'lstm' is not one of auto, mlp"),
        ("heads", 3, "encoder.heads: 3 does not divide encoder.d_model, 64"),
        ("dtype", "float16", "encoder.dtype: 'float16'"),
        ("patch_size", 0, "encoder.patch_size: 0"),
    ):
        with pytest.raises(UserError, match=message):
            check(experiment(**{f"encoder__{name}": value}))


def test_what_an_input_is_decides_over_its_type():
    """Integers that are no text, and floats that are a picture, get the encoder that reads them."""
    rng = np.random.default_rng(0)
    inputs = {"counts": [text(rng)], "picture": [image(rng).astype(np.float32)]}
    assert encoders.kinds(options(), inputs, ("vector", "image")) == ("mlp", "cnn")
    assert encoders.kinds(options(), inputs, ("tokens", "image")) == ("bag", "cnn")
