"""What modalities tell about the labels."""

from pathlib import Path
from typing import Any

import pandas as pd
from ml_collections import ConfigDict

from redalign_jax.api.answers import Home
from redalign_jax.api.data import keep, look_at
from redalign_jax.api.experiment import experiment
from redalign_jax.data.memory import Dataset


def decompose(
    data: Dataset | ConfigDict | str,
    *,
    workdir: str | Path | None = None,
    progress: bool | None = None,
    **fields: Any,
) -> pd.DataFrame:
    """What every pair of modalities tells about the labels: redundancy, unique parts, synergy.

    Args:
      data: as of `sweep`.
      workdir: a folder to keep the table in; one that holds it already is read.
      progress: as of `sweep`.
      **fields: of the experiment, as of `sweep`; those of `decompose` matter.

    Returns:
      A row per pair: `first`, `second`, and in nats `redundancy`, `unique_first`, `unique_second`,
      `synergy` and more, each with the ends `_low` and `_high` of a 95 % interval; see
      `pid.decomposition.run`.

    Raises:
      UserError: a field, data or workdir that cannot be used.

    The atoms are those of Bertschinger et al. (2014), doi:10.3390/e16042161.

    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(200) % 2
    >>> data = arrays({name: y[:, None] + rng.normal(size=(200, 3)) for name in "ab"}, y)
    >>> small = {"folds": 2, "ensemble_size": 1, "steps": 10, "n_resamples": 0}
    >>> decompose(data, progress=False, decompose=small)[["first", "second"]].values.tolist()
    [['a', 'b']]
    """
    from redalign_jax.pid import decomposition

    config, load = experiment(data, fields)
    home = Home(workdir)
    found = look_at(data, config, load, progress)
    table = decomposition.run(config, home.folder, progress, load)
    keep(found, home.folder)
    return table
