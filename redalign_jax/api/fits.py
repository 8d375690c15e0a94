"""Encoders of one setting, trained and kept."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from redalign_jax import config as configs
from redalign_jax.api.answers import ADVICE, Advice, Home
from redalign_jax.api.experiment import Strength, experiment, strengths
from redalign_jax.api.reports import event_files
from redalign_jax.data.memory import Dataset
from redalign_jax.errors import UserError
from redalign_jax.runtime import processes, results

if TYPE_CHECKING:
    from redalign_jax.fitted.model import Model

MECHANISM = "balanced"


def fit(
    data: Dataset | ConfigDict | str,
    setting: Advice | Strength | str | Path | None = None,
    *,
    strength: Strength | str | None = None,
    seeds: int | None = 5,
    workdir: str | Path | None = None,
    progress: bool | None = None,
    **fields: Any,
) -> "Model":
    """Trains encoders at one setting with several seeds, and keeps the best by validation.

    Args:
      data: as of `sweep`, one task. All of its labels are taken, unless `data__labels` says
        otherwise; the validation part stops training early, the test part is only looked at.
      setting: what to train: an advice (or the path of an advice.json), or a strength.
      strength: λ for all encoders, one λ per modality as a tuple or by name, or "balanced", the
        balanced mechanism. Give this or `setting`; with neither, the experiment's one strength or,
        where it has several and asks for it beside them, the mechanism.
      seeds: number of splits, inits and batch orders; None as the experiment says.
      workdir: folder of the results and of `model/`; one that holds them is read. None as of
        `sweep`.
      progress: as of `sweep`.
      **fields: of the experiment, as of `sweep`.

    Returns:
      The model; `model.about` says how much seeds differ, and `model.save` writes it.

    Raises:
      UserError: a field, data or workdir that cannot be used, before anything is compiled.
      runtime.preemption.Stopped: SIGTERM or Ctrl-C came, and everything is saved.

    >>> rng = np.random.default_rng(0)
    >>> y = np.array(["cat", "dog"])[np.arange(200) % 2]
    >>> view = {name: (y == "dog")[:, None] + rng.normal(size=(200, 3)) for name in "ab"}
    >>> small = {"train__steps": 10, "train__evaluations": 2, "encoder__embed_dim": 4}
    >>> model = fit(arrays(view, y), strength={"a": 1, "b": 0}, progress=False, **small)
    >>> model.embed("a", view["a"][:5]).shape
    (5, 4)
    >>> sorted(set(model.predict("b", view["b"]).tolist()))
    ['cat', 'dog']
    """
    from redalign_jax.fitted import train

    if setting is not None and strength is not None:
        raise UserError("fit: give an advice or a strength, not both")
    setting = strength if setting is None else setting
    config, load = experiment(data, fields if seeds is None else {**fields, "sweep__seeds": seeds})
    if "data__labels" not in fields and "labels" not in fields.get("data", {}):
        config = _all_labels(config)
    path = isinstance(setting, (str, Path)) and setting != MECHANISM
    if isinstance(setting, Advice) or path or (setting is None and config.advice):
        from redalign_jax.advise import apply

        advice = setting.folder / ADVICE if isinstance(setting, Advice) else setting
        config = apply(config, advice or config.advice)
        config.hyper.strength = config.hyper.strength[-1:]
    elif setting is not None or (config.sweep.balanced and len(config.hyper.strength) > 1):
        if setting is None or setting == MECHANISM:
            config = configs.mechanism(config)
        elif isinstance(data, Dataset):
            config.hyper.strength = strengths((setting,), data)
        else:
            task = configs.points(config, load)[0][1](config.sweep.first_seed)
            config.hyper.strength = strengths((setting,), task)
    config.sweep.balanced = False  # it is the one setting, or left out
    config = train.check(config)
    write_events = event_files() if config.log.tensorboard else None
    home = Home(workdir)
    model = train.fit(config, home.folder, progress, load)
    if write_events:
        tables = [results.read(home.folder, name) for name in (results.RESULTS, results.CURVES)]
        processes.agree(lambda: write_events(home.folder, *tables))
    return model


def load(folder: str | Path) -> "Model":
    """The model that `model.save` wrote; nothing in the folder is run or unpickled.

    Args:
      folder: a folder with a `model.json`.

    Raises:
      UserError: there is no model, it is damaged, or of a later version.
    """
    from redalign_jax.fitted.model import Model

    return Model.load(folder)


def _all_labels(config: ConfigDict) -> ConfigDict:
    """`config` on all labels there are; a source that draws its `pairs` has those it says."""
    held = config.data.get("labels")
    if held is None or "pairs" in config.data or held in (0, (0,)):
        return config
    config.data.labels = 0
    logging.warning("data.labels: fit takes all there are")
    return config
