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
    """Which encoders to align and how, by training on most labelled examples, judged on the rest.

    Args:
      data: as of `sweep`, one task.
      minutes: for everything, compilation included.
      workdir: folder of `advice.json`; None as of `sweep`.
      progress: as of `sweep`.
      **fields: of the experiment, as of `sweep`.

    Returns:
      The advice; `print` it, or give it to `fit` or `sweep`. The test split is not looked at. Per
      encoder one of "align posteriors", "align contrastively", "leave alone", "makes no
      difference" (2 points at most) and "cannot tell"; the last three have strength 0.

    Raises:
      UserError: a field, data or workdir that cannot be used.

    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(24) % 2
    >>> data = arrays({name: y[:, None] + rng.normal(size=(24, 3)) for name in "ab"}, y)
    >>> small = {"folds": 2, "ensemble_size": 1, "steps": 10, "n_resamples": 0}
    >>> advise(data, minutes=0.01, progress=False, decompose=small).verdicts
    {'a': 'cannot tell', 'b': 'cannot tell'}
    """
    from redalign_jax import advise as room

    fields = fields if minutes is None else {**fields, "advise__minutes": minutes}
    config, load = experiment(data, fields)
    home = Home(workdir)
    seen = look_at(data, config, load, progress)
    found = room.advise(config, home.folder, progress, load)
    keep(seen, home.folder)
    return Advice(found, home)
