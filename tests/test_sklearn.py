"""AlignedEncoder is a scikit-learn estimator."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from helpers.shell import ROOT
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import redalign_jax as ra
from redalign_jax.sklearn import AlignedEncoder

FAILS: dict[str, str] = {}
SMALL = {"embed_dim": 4, "hidden_sizes": (16,), "steps": 60, "learning_rate": 0.03}


@pytest.mark.slow
@parametrize_with_checks([AlignedEncoder(**SMALL)], expected_failed_checks=lambda _: FAILS)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)
