"""AlignedEncoder and AlignedRegressor are scikit-learn estimators."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from helpers.commands import ROOT
from sklearn.base import is_regressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from redalign_jax import sklearn as room
from redalign_jax.sklearn import AlignedEncoder, AlignedRegressor

SMALL = {"embed_dim": 4, "hidden_sizes": (16,), "steps": 60, "learning_rate": 0.03}
RNG = np.random.default_rng(0)
Y = np.array(["cat", "dog", "owl"])[np.arange(150) % 3]
SIGNAL = np.eye(3)[np.arange(150) % 3]
X = np.concatenate(
    [SIGNAL @ RNG.normal(size=(3, n)) * 2 + RNG.normal(size=(150, n)) for n in (5, 4)], axis=1
)
OWN, OTHER = slice(0, 5), slice(5, 9)


# Every check compiles anew; these are of different kinds. `check_estimator` runs all of them.
CHECKS = {
    "check_classifiers_train",
    "check_classifiers_regression_target",
    "check_complex_data",
    "check_dict_unchanged",
    "check_dtype_object",
    "check_estimators_nan_inf",
    "check_estimators_unfitted",
    "check_fit2d_1sample",
    "check_get_params_invariance",
    "check_methods_subset_invariance",
    "check_n_features_in_after_fitting",
    "check_parameters_default_constructible",
    "check_regressor_data_not_an_array",
    "check_regressors_int",
    "check_regressors_train",
    "check_supervised_y_2d",
    "check_supervised_y_no_nan",
}


def _name(check):
    return getattr(getattr(check, "func", check), "__name__", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "check"),
    [
        pytest.param(kind, check, id=f"{kind.__name__}-{_name(check)}")
        for kind in (AlignedEncoder, AlignedRegressor)
        for _, check in estimator_checks_generator(kind(**SMALL))
        if _name(check) in CHECKS
    ],
)
def test_scikit_learns_own_checks(kind, check):
    check(kind(**SMALL))


@pytest.fixture(scope="module")
def encoder():
    return AlignedEncoder(OWN, OTHER, **SMALL).fit(X, Y)


@pytest.mark.slow
def test_it_reads_its_own_columns_alone(encoder):
    shuffled = X.copy()
    shuffled[:, OTHER] = RNG.permutation(shuffled[:, OTHER])
    z = encoder.transform(X)
    assert z.shape == (150, 4) and encoder.score(X, Y) > 0.8
    np.testing.assert_array_equal(encoder.transform(shuffled), z)
    np.testing.assert_array_equal(encoder.model_.embed("modality", X[:, OWN]), z)
    assert encoder.get_feature_names_out().tolist() == [f"alignedencoder{k}" for k in range(4)]
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(again.transform(X), z)


@pytest.mark.slow
def test_without_strength_it_is_trained_alone(encoder):
    """With a partner at λ = 0 as without one, and not as at λ > 0."""
    alone = AlignedEncoder(OWN, **SMALL).fit(X, Y).transform(X)
    nothing = AlignedEncoder(OWN, OTHER, strength=0.0, **SMALL).fit(X, Y).transform(X)
    np.testing.assert_allclose(alone, nothing, rtol=1e-3, atol=1e-3)
    assert np.abs(encoder.transform(X) - nothing).max() > 0.1
    pulled = AlignedEncoder(OWN, OTHER, strength=(0.0, 1.0), **SMALL).fit(X, Y).transform(X)
    np.testing.assert_allclose(pulled, nothing, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_columns_by_slice_number_mask_or_name(encoder):
    frame = pd.DataFrame(X, columns=[f"a{k}" for k in range(5)] + [f"b{k}" for k in range(4)])
    mask = np.arange(9) < 5
    for own, other, x in (
        ([0, 1, 2, 3, 4], [5, 6, 7, 8], X),
        (None, ~mask, X),
        (list(frame)[:5], list(frame)[5:], frame),
    ):
        found = AlignedEncoder(own, other, **SMALL).fit(x, Y)
        np.testing.assert_array_equal(found.transform(x), encoder.transform(X))


@pytest.mark.slow
def test_it_works_in_a_pipeline_and_a_grid_search():
    pipeline = make_pipeline(
        StandardScaler(), AlignedEncoder(OWN, OTHER, **SMALL), LogisticRegression()
    )
    search = GridSearchCV(pipeline, {"alignedencoder__strength": [0.0, 1.0]}, cv=2)
    search.fit(X, Y)
    assert search.best_score_ > 0.7 and set(search.predict(X)) == set(Y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"partner": "b"}, "no column is called 'b'"),
        ({"partner": [9]}, "columns .* are not of the 9 of X"),
        ({"partner": slice(9, 9)}, "a modality has no columns"),
        ({"partner": slice(0, 9)}, "a modality has no columns"),
        ({"valid": 1.5}, "valid=1.5 must lie between 0 and 1"),
        ({"strength": -1}, "hyper.strength: -1 must be"),
        ({"steps": 0}, "train.steps"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_one_line(change, message):
    with pytest.raises(ValueError, match=message) as error:
        AlignedEncoder(**({"partner": OTHER, **SMALL} | change)).fit(X, Y)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_regressor_predicts_in_the_units_of_y():
    """Its score is R²; other units of y change the predictions' units and nothing else."""
    y = 7000 + 300 * (SIGNAL @ [1.0, 2.0, 4.0] + 0.1 * RNG.normal(size=150))
    train, new = np.arange(0, 100), np.arange(100, 150)
    found = AlignedRegressor(OWN, OTHER, **SMALL).fit(X[train], y[train])
    said = found.predict(X[new])
    r2 = 1 - np.sum((y[new] - said) ** 2) / np.sum((y[new] - y[new].mean()) ** 2)
    assert found.score(X[new], y[new]) == pytest.approx(r2, abs=1e-9) and r2 > 0.7
    assert is_regressor(found) and not hasattr(found, "predict_proba")
    turned = AlignedRegressor(OWN, OTHER, **SMALL).fit(X[train], 5 - y[train] / 1000)
    again = AlignedRegressor(OWN, OTHER, **SMALL).fit(X[train], y[train] * 10 - 3)
    np.testing.assert_allclose(again.predict(X[new]), said * 10 - 3, rtol=1e-3)
    assert turned.score(X[new], 5 - y[new] / 1000) > 0.7
    np.testing.assert_array_equal(found.model_.embed("modality", X[:, OWN]), found.transform(X))
    held = AlignedRegressor(OWN, OTHER, **SMALL).fit(X[train], y[train].astype(int))
    assert held.predict(X[new]).dtype == np.float64
    search = GridSearchCV(AlignedRegressor(OWN, **SMALL), {"valid": [0.1, 0.2]}, cv=2)
    assert search.fit(X, y).best_score_ > 0.5


def test_a_target_that_cannot_be_learned_is_one_line():
    for y, message in (
        (np.ones(150), "AlignedRegressor: y is one number only"),
        (Y, "could not convert|dtype='numeric'"),
        (np.where(np.arange(150) == 3, np.nan, 1.0), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            AlignedRegressor(OWN, **SMALL).fit(X, y)


@pytest.mark.slow
def test_without_scikit_learn_one_line_names_the_extra():
    code = "import sys; sys.modules['sklearn.base'] = None; import redalign_jax.sklearn"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].startswith("ImportError: redalign_jax.sklearn needs")
    assert "redalign-jax[sklearn]" in done.stderr and room.MODALITY == "modality"
