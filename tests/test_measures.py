"""How good predictions are, against float64 arithmetic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redalign_jax import measures


@given(n=st.integers(3, 40), seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_a_regression_with_labels_that_are_zero(n, seed):
    rng = np.random.default_rng(seed)
    output = np.float32(rng.integers(-3, 4, n) / 2)  # zeros among the predictions, too
    y = np.float32(rng.integers(-3, 4, n))
    got = {k: float(v) for k, v in measures.quality(output, y, 0).items()}
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
