"""Fitted encoders on new rows: right values, whatever holds the rows and however many there are."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from helpers import fitted

from redalign_jax.data import scaling
from redalign_jax.errors import UserError
from redalign_jax.fitted import encoder as encoders
from redalign_jax.fitted import inputs


def dense(x, params, name):
    layer = params["params"][name]
    return x @ np.float64(layer["kernel"]) + np.float64(layer["bias"])


def test_an_mlp_is_what_float64_says():
    model, x = fitted.model("numbers"), fitted.rows("numbers").copy()
    x[35, 2] = 1e9  # clipped
    z = np.clip((x - x[:30].mean(0)) / x[:30].std(0), -scaling.CLIP, scaling.CLIP)
    params = model.encoders["numbers"].params
    h = dense(np.tanh(dense(z, params["encoder"], "Dense_0")), params["encoder"], "Dense_1")
    out = dense(h, params["head"], "Dense_0")
    p = np.exp(out) / np.exp(out).sum(1, keepdims=True)
    np.testing.assert_allclose(model.embed("numbers", x), h, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model.predict_proba("numbers", x), p, rtol=1e-4, atol=1e-5)
    said = np.array(["cat", "dog", "owl"])[out.argmax(1)]
    assert model.predict("numbers", x).tolist() == said.tolist()
    y = np.where(np.arange(40) % 4 == 0, "emu", said)
    assert model.score("numbers", x, y) == 0.75
    assert model.score("numbers", x, pd.Series(y)) == model.score("numbers", x, y[:, None]) == 0.75


def test_counts_are_transformed_as_in_training():
    model, x = fitted.model("counts"), fitted.rows("counts")
    z = np.log1p(x)
    z = (z - z[:30].mean(0)) / z[:30].std(0)
    params = model.encoders["counts"].params
    h = dense(np.maximum(dense(z, params["encoder"], "Dense_0"), 0), params["encoder"], "Dense_1")
    np.testing.assert_allclose(model.embed("counts", x.astype(int)), h, rtol=1e-4, atol=1e-4)


def test_a_regression_answers_in_the_users_units():
    model, x = fitted.model("numbers", class_names=None), fitted.rows("numbers")
    encoder = model.encoders["numbers"]
    out = dense(np.float64(model.embed("numbers", x)), encoder.params["head"], "Dense_0")[:, 0]
    y = out * 250 - 3.5
    np.testing.assert_allclose(model.predict("numbers", x), y, rtol=1e-4)
    rng = np.random.default_rng(0)
    noisy = y + rng.normal(size=40) * y.std()
    want = 1 - np.sum((noisy - y) ** 2) / np.sum((noisy - noisy.mean()) ** 2)
    assert abs(model.score("numbers", x, noisy) - want) < 1e-3
    with pytest.raises(UserError, match="is a regression"):
        model.predict_proba("numbers", x)


@pytest.mark.slow
@pytest.mark.parametrize("name", fitted.KINDS)
def test_any_number_of_rows_at_a_time_gives_the_same(name, monkeypatch):
    """One by one, in batches that memory cuts, all at once, and none."""
    x = fitted.rows(name)
    whole = fitted.model(name).embed(name, x)
    assert whole.shape == (40, 5) and np.ptp(whole, axis=0).min() > 1e-3
    single = fitted.model(name).embed(name, x[7:8])
    np.testing.assert_allclose(single, whole[7:8], rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(encoders, "ROWS", 8)
    np.testing.assert_allclose(fitted.model(name).embed(name, x), whole, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(encoders, "MEMORY", -1)
    few = fitted.model(name)
    np.testing.assert_allclose(few.embed(name, x[:3]), whole[:3], rtol=1e-4, atol=1e-5)
    assert few.encoders[name]._size(8) == 1
    assert few.embed(name, x[:0]).shape == (0, 5) and few.predict(name, x[:0]).shape == (0,)


class Watched:
    """Rows that tell how many of them were asked for at a time."""

    def __init__(self, x):
        self.x, self.shape, self.most = x, x.shape, 0

    def __getitem__(self, part):
        found = self.x[part]
        self.most = max(self.most, len(found))
        return found


def test_rows_are_read_a_batch_at_a_time():
    x = Watched(np.broadcast_to(np.float32(3), (5000, 4)))
    fitted.model("numbers").embed("numbers", x)
    assert x.most == encoders.ROWS


def test_what_people_hold_rows_in(tmp_path):
    model, x = fitted.model("numbers"), fitted.rows("numbers")
    want = model.embed("numbers", x)
    np.save(tmp_path / "x.npy", x)
    for held in (
        x.tolist(),
        pd.DataFrame(x, index=range(40, 0, -1)),
        pd.DataFrame(x).astype(object),
        scipy.sparse.coo_array(x),
        np.load(tmp_path / "x.npy", mmap_mode="r"),
        np.asfortranarray(x),
    ):
        np.testing.assert_array_equal(model.embed("numbers", held), want)
    np.testing.assert_allclose(model.embed("numbers", jnp.asarray(x)), want, atol=1e-3)


def test_pictures_and_texts_as_they_come():
    model, x = fitted.model("levels", "pictures", "words", "sounds"), fitted.rows("levels")
    want = model.embed("levels", x)
    for held in (x[..., 0], x.astype(int), x[..., 0].astype(float)):
        np.testing.assert_array_equal(model.embed("levels", held), want)
    first = np.moveaxis(fitted.rows("pictures"), 3, 1)  # channels
    want = model.embed("pictures", fitted.rows("pictures"))
    np.testing.assert_array_equal(model.embed("pictures", first), want)
    for name in ("words", "sounds"):
        short = fitted.rows(name).copy()
        short[:, 4:] = 0
        want = model.embed(name, short)
        np.testing.assert_allclose(model.embed(name, short[:, :4]), want, atol=1e-6)


X = fitted.rows("numbers")
BAD = np.where(np.arange(160).reshape(40, 4) == 89, np.nan, X)


@pytest.mark.parametrize(
    ("name", "x", "message"),
    [
        ("sound", X, "no modality 'sound'; there are numbers, counts, levels"),
        ("numbers", X[:, :3], r"rows of shape \(3,\), but its encoder was trained on \(4,\)"),
        ("numbers", X[0], r"rows of shape \(\)"),
        ("numbers", X[0, 0], "give rows"),
        ("numbers", "vision.npy", "give rows"),
        ("numbers", BAD, r"nan in row 22 \(counted from 0\) is not a finite"),
        ("numbers", X * 1e40, "not a finite float32"),
        ("counts", X - 2e3, "a number below 0 in row 0, of which no log1p"),
        ("numbers", X.astype(str), "not numbers"),
        ("numbers", X + 1j, "not numbers"),
        ("numbers", [[1, 2, 3, 4], [5]], "'numbers' is no array"),
        ("numbers", [[1, 2, 3, "a"]], "not numbers"),
        ("levels", fitted.rows("levels") / 255, "is no level"),
        ("levels", fitted.rows("levels").astype(int) + 9, "in row .* is no level"),
        ("levels", fitted.rows("levels")[:, :7], "rows of shape"),
        (
            "words",
            fitted.rows("words") + 30,
            "is no token; its encoder knows whole numbers 1 to 29",
        ),
        ("words", -fitted.rows("words"), "is no token"),
        ("words", np.ones((2, 7), int), "rows of shape"),
    ],
)
def test_rows_that_cannot_be_read_are_one_line(name, x, message):
    model = fitted.model("numbers", "counts", "levels", "words")
    with pytest.raises(UserError, match=message) as error:
        model.embed(name, x)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("names", "y", "message"),
    [
        (("cat", "dog", "owl"), ["cat"] * 39, "labels of shape"),
        (("cat", "dog", "owl"), [1] * 40, "labels are int64, those of the training were <U3"),
        ((1, 2, 5), ["1"] * 40, "labels are <U1"),
        (None, ["1"] * 40, "is a regression"),
        (None, [2.0] * 40, "all equal"),
        (None, [np.nan] * 40, "not finite"),
    ],
)
def test_labels_that_cannot_be_scored_are_one_line(names, y, message):
    with pytest.raises(UserError, match=message):
        fitted.model("numbers", class_names=names).score("numbers", X, y)


def test_an_error_names_the_row_of_a_later_batch():
    input = fitted.model("numbers").encoders["numbers"].input
    with pytest.raises(UserError, match="row 22 "):
        list(inputs.batches(input, "numbers", BAD, 5))
