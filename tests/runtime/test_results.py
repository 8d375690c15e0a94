"""The tidy table."""

import numpy as np
import pandas as pd

from redalign_jax.runtime import results


def test_diverged_speaks_of_the_subject_of_a_row():
    runs = pd.DataFrame({"place": [0, 1], "seed": [0, 1]})
    subjects = ["a", "b", "c", "a|b", "b|c", "fusion"]
    measured = {(subject, "accuracy"): np.arange(2) for subject in subjects}
    flags = {name: np.array([name == "a", False]) for name in "abc"}
    table = results.tidy(runs, measured, ("subject", "metric"), flags)
    assert not table[table["place"] == 1]["diverged"].any()
    one = table[table["place"] == 0].set_index("subject")["diverged"]
    assert one[one].index.tolist() == ["a", "a|b", "fusion"]
    curves = results.tidy(
        runs, {(5, "b", "task_loss"): np.ones(2)}, ("step", "subject", "metric"), flags
    )
    assert not curves["diverged"].any()
