"""Advice: which encoders to align."""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from redalign_jax.api.answers import Advice, Home
from redalign_jax.api.data import keep, look_at
from redalign_jax.api.experiment import experiment
from redalign_jax.data.memory import Dataset


def advise(
    data: Dataset | ConfigDict | str,
    minutes: float | None = None,
    *,
    workdir: str | Path | None = None,
    progress: bool | None = None,
    **fields: Any,
) -> Advice:
    """Which encoders to align and how, by cross-validation on the labelled training examples.

    Args:
      data: as of `sweep`, one task.
      minutes: time for trials, compilation and the first of them aside.
      workdir: folder of `advice.json`; None as of `sweep`.
      progress: as of `sweep`.
      **fields: of the experiment, as of `sweep`.

    Returns:
      The advice; `print` it, or give it to `sweep`. Validation and test splits are not looked at.

    Raises:
      UserError: a field, data or workdir that cannot be used.

    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(24) % 2
    >>> data = arrays({name: y[:, None] + rng.normal(size=(24, 3)) for name in "ab"}, y)
    >>> small = {"folds": 2, "ensemble_size": 1, "steps": 10, "n_resamples": 0}
    >>> advise(data, minutes=0.01, progress=False, decompose=small).verdicts
    {'a': 'undecided', 'b': 'undecided'}
    """
    from redalign_jax import advise as room

    fields = fields if minutes is None else {**fields, "advise__minutes": minutes}
    config, load = experiment(data, fields)
    home = Home(workdir)
    seen = look_at(data, config, load, progress)
    found = room.advise(config, home.folder, progress, load)
    keep(seen, home.folder)
    return Advice(found, home)
