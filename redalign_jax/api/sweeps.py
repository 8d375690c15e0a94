"""A sweep of alignment strengths."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from redalign_jax import config as configs
from redalign_jax.api.answers import ADVICE, Advice, Home, Results
from redalign_jax.api.data import keep, look_at
from redalign_jax.api.experiment import Strength, experiment, strengths
from redalign_jax.api.reports import event_files
from redalign_jax.data.memory import Dataset
from redalign_jax.errors import UserError
from redalign_jax.runtime import processes


def sweep(
    data: Dataset | ConfigDict | str,
    *,
    strength: Strength | Sequence[Strength] | None = None,
    seeds: int | None = None,
    advice: Advice | str | None = None,
    workdir: str | Path | None = None,
    progress: bool | None = None,
    **fields: Any,
) -> Results:
    """Trains encoders at every strength, paired by seed, and measures what alignment changes.

    Args:
      data: a dataset of `arrays`, an experiment, or the name of one ("mfeat"); a dataset is trained
        on as `configs/arrays.py` says.
      strength: λ, one or several, 0 among them; an entry may be one λ per modality, as a tuple or
        by name.
      seeds: number of splits, inits and batch orders, the same for every strength.
      advice: train as advised, beside no alignment, see `advise`.
      workdir: folder of the results; one that holds them already is read. None is a temporary
        folder, which lives as long as what is returned.
      progress: show a bar; None shows it on a terminal, lines elsewhere.
      **fields: of the experiment, see `redalign_jax.fields`: `train__steps=500`, or
        `train={"steps": 500}`.

    Returns:
      The results.

    Raises:
      UserError: a field, data or workdir that cannot be used, before anything is compiled.
      runtime.preemption.Stopped: SIGTERM or Ctrl-C came, and everything is saved.

    The comparison is that of arXiv:2511.12121: each encoder with itself at λ = 0.

    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(200) % 2
    >>> data = arrays({name: y[:, None] + rng.normal(size=(200, 3)) for name in "ab"}, y)
    >>> small = {"train__steps": 10, "train__evaluations": 2, "encoder__embed_dim": 4}
    >>> results = sweep(data, strength=[0, 1], seeds=2, progress=False, **small)
    >>> results.best()[["subject", "best_strength"]].shape
    (2, 2)
    """
    fields = fields if seeds is None else {**fields, "sweep__seeds": seeds}
    config, load = experiment(data, fields)
    if advice is not None:
        config.advice = str(advice.folder / ADVICE if isinstance(advice, Advice) else advice)
    if strength is not None:
        config.hyper.strength = strengths(strength, data)
    if config.advice:
        from redalign_jax.advise import apply

        if strength is not None:
            raise UserError("hyper.strength: the advice says it; give one of the two")
        config = apply(config, config.advice)
    config = configs.check(config)
    if not any(np.all(np.asarray(one) == 0) for one in config.hyper.strength):
        raise UserError("hyper.strength: 0 is missing, which the report compares with")
    write_events = event_files() if config.log.tensorboard else None
    if config.sweep.keep:
        from redalign_jax.fitted.of_sweep import run
    else:
        from redalign_jax.sweep import run
    home = Home(workdir)
    found = look_at(data, config, load, progress)
    table = run(config, home.folder, progress, load)
    keep(found, home.folder)
    results = Results(table, home)
    if write_events:
        processes.agree(lambda: write_events(home.folder, results.table, results.curves))
    return results
