"""From arrays, or an experiment, to answers: what a notebook calls, and the command line too."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from redalign_jax import config as configs
from redalign_jax import config_files, renamed
from redalign_jax.answers import ADVICE, Advice, Home, Results
from redalign_jax.data import Load, look, memory
from redalign_jax.data.memory import Dataset
from redalign_jax.errors import UserError
from redalign_jax.runtime import processes, results, workdir

if TYPE_CHECKING:
    from redalign_jax.fitted.model import Model

Strength = float | Sequence[float] | Mapping[str, float]


def arrays(
    modalities: Mapping[str, Any],
    labels: Any,
    *,
    split: Any = None,
    groups: Any = None,
    ids: Mapping[str, Any] | None = None,
    kinds: Mapping[str, str] | str = "",
    transform: Mapping[str, str] | str = "",
    unlabelled: str = "",
    target: str = "",
    n_labels: int | Sequence[int] = 0,
    valid: float = 0.1,
    test: float = 0.2,
) -> Dataset:
    """Paired arrays in memory as a dataset; the same checks and splits as those of an .npz file.

    Args:
      modalities: name → (n, ...) numbers, row i of each about the same thing: numpy, JAX, lists,
        pandas (an index is ids: where indexes differ, rows are joined by them), scipy sparse (made
        dense, up to 2²⁸ numbers), lists of sequences of several lengths. Vectors, sequences
        (n, t, d), images (n, h, w[, c]) and tokens (n, t) are told apart, see
        `redalign_jax.kinds.guess`. A row that is NaN throughout, None in a list, or without its id
        is missing: it trains the encoders of what it has, and no pair that lacks it.
      labels: (n,) integers, booleans or texts are classes, floating point is a regression's target;
        one-hot (n, C) is taken as classes. Rows of None, NaN or NA are pairs without a label, and
        still aligned.
      split: (n,) "train", "valid" or "test" (or 0, 1, 2) of every row, where that is given.
      groups: (n,) values; rows of one value are never on two sides of a split or fold.
      ids: name → (rows,) ids of every modality and of "labels", to join rows that are not paired.
      kinds: name → "vector", "sequence", "image" or "tokens", where the guess is wrong.
      transform: name → "log1p", of counts that span decades.
      unlabelled: a label, as text, that stands for none, such as "-1".
      target: "classes" or "regression", where the type of the labels does not say it.
      n_labels: labelled training pairs, 0 for all; several are an axis of a sweep.
      valid, test: shares of the labelled pairs, or their numbers; the rest is for training.

    Returns:
      The dataset, a copy of the arrays.

    Raises:
      UserError: one line that names the array and what is wrong with it.

    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(200) % 2
    >>> views = {name: y[:, None] + rng.normal(size=(200, 3)) for name in ("vision", "text")}
    >>> arrays(views, y)
    Dataset of 200 rows, 200 labelled: vision (vector 3), text (vector 3)
    """
    many = isinstance(n_labels, (Sequence, np.ndarray))
    return memory.dataset(
        modalities,
        labels,
        split=split,
        groups=groups,
        ids=ids,
        kinds=kinds,
        transform=transform,
        unlabelled=unlabelled,
        target=target,
        labels=tuple(int(n) for n in n_labels) if many else (n_labels,),
        valid=valid,
        test=test,
    )


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
    from redalign_jax.sweep import run

    fields = fields if seeds is None else {**fields, "sweep__seeds": seeds}
    config, load = _experiment(data, fields)
    if advice is not None:
        config.advice = str(advice.folder / ADVICE if isinstance(advice, Advice) else advice)
    if strength is not None:
        config.hyper.strength = _strengths(strength, data)
    if config.advice:
        from redalign_jax.advise import apply

        if strength is not None:
            raise UserError("hyper.strength: the advice says it; give one of the two")
        config = apply(config, config.advice)
    config = configs.check(config)
    if not any(np.all(np.asarray(one) == 0) for one in config.hyper.strength):
        raise UserError("hyper.strength: 0 is missing, which the report compares with")
    write_events = _event_files() if config.log.tensorboard else None
    home = Home(workdir)
    found = _look(data, config, load, progress)
    table = run(config, home.folder, progress, load)
    _keep(found, home.folder)
    results = Results(table, home)
    if write_events:
        processes.agree(lambda: write_events(home.folder, results.table, results.curves))
    return results


def _event_files() -> Callable[..., int]:
    """What writes event files; asked for before anything is trained."""
    try:
        from redalign_jax.report import tensorboard
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("tensorboardX"):
            raise
        raise UserError(
            "log.tensorboard: no tensorboardX; pip install 'redalign-jax[tensorboard]'"
        ) from None
    return tensorboard.write


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

    config, load = _experiment(data, fields)
    home = Home(workdir)
    found = _look(data, config, load, progress)
    table = decomposition.run(config, home.folder, progress, load)
    _keep(found, home.folder)
    return table


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
    config, load = _experiment(data, fields)
    home = Home(workdir)
    seen = _look(data, config, load, progress)
    found = room.advise(config, home.folder, progress, load)
    _keep(seen, home.folder)
    return Advice(found, home)


def inspect(data: Dataset | ConfigDict | str, **fields: Any) -> str:
    """A look at data before training: rows, labels, modalities, and what to mind, in 12 lines.

    Args:
      data: as of `sweep`; of several tasks, the first.
      **fields: of the experiment, as of `sweep`; those of `data` matter.

    Returns:
      The lines. Rows that go together no better than shuffled ones are said to, see
      `data.look.pairing`.

    Raises:
      UserError: data that cannot be used.

    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(200) % 2
    >>> data = arrays({name: y[:, None] + rng.normal(size=(200, 3)) for name in "ab"}, y)
    >>> print(inspect(data).splitlines()[0])
    arrays: 200 rows, all labelled in 2 classes: 0 100, 1 100
    """
    config, load = _experiment(data, fields)
    config = configs.check(config)
    _, source = configs.points(config, load)[0]
    source(config.sweep.first_seed)  # refuses what cannot be split
    return "\n".join(look.noted(*_facts(data, config, load)))


def _facts(
    data: Dataset | ConfigDict | str, config: ConfigDict, load: Load | None
) -> tuple[list[str], str]:
    """What there is to say about data, and what they are called in it."""
    point = configs.data_points(config.data)[0][1]
    name = point.get("path") or point.source
    if isinstance(data, Dataset):
        ready = data.ready
    elif point.source == "arrays":
        from redalign_jax.data.sources import arrays as files

        name, ready = os.path.expanduser(name), files.read(point)
    else:
        columns, source = configs.points(config, load)[0]
        name = ", ".join([name, *(f"{n}={v}" for n, v in columns.items())])
        return look.facts_of_task(source(config.sweep.first_seed), name), name
    said = (ready.x, ready.kinds, ready.y, ready.known, ready.groups, ready.split)
    return look.facts(*said, name, ready.present), name


def _look(
    data: Dataset | ConfigDict | str,
    config: ConfigDict,
    load: Load | None,
    progress: bool | None,
) -> tuple[list[str], str] | None:
    """Prints a look at a user's own data, and returns its facts; None of other data."""
    if config.data.source not in OWN or not processes.first():
        return None
    found = _facts(data, config, load)
    if progress is not False:
        print("\n".join(look.noted(*found)), flush=True)
    return found


def _keep(found: tuple[list[str], str] | None, folder: Path) -> None:
    """Writes the look into the workdir for its report, with all that was said until now."""
    if found:
        workdir.write_json(folder / look.FILE, look.noted(*found))


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
    config, load = _experiment(data, fields if seeds is None else {**fields, "sweep__seeds": seeds})
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
            config.hyper.strength = _strengths((setting,), data)
        else:
            task = configs.points(config, load)[0][1](config.sweep.first_seed)
            config.hyper.strength = _strengths((setting,), task)
    config.sweep.balanced = False  # it is the one setting, or left out
    config = train.check(config)
    write_events = _event_files() if config.log.tensorboard else None
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


def report(folder: str | Path) -> Path:
    """Draws the report of what a workdir holds, without training.

    Args:
      folder: the workdir of a sweep, a decomposition or both.

    Returns:
      The path of `report.html`.

    Raises:
      UserError: a file of the workdir is missing or cannot be read.
    """
    from redalign_jax import report as room

    room.make(folder)
    return Path(folder) / "report.html"


MECHANISM = "balanced"
OWN = ("arrays", "tfds")  # sources of data that a user brings


def _experiment(
    data: Dataset | ConfigDict | str, fields: Mapping[str, Any]
) -> tuple[ConfigDict, Load | None]:
    """An experiment on `data` with some fields changed, and what makes its tasks."""
    if isinstance(data, Dataset):
        config, load = config_files.load("arrays"), data.load
        config.data = data.section
    elif isinstance(data, ConfigDict):
        config, load = configs.check(data), None
    elif isinstance(data, str):
        config, load = config_files.load(data), None
    else:
        raise UserError("data: give what redalign_jax.arrays returns, or the name of an experiment")
    for name, value in fields.items():
        section, _, field = name.partition("__")
        if section not in config:
            raise UserError(f"unknown config field: {section}")
        if not field and not isinstance(value, Mapping):
            raise UserError(f"{name}: give {name}__FIELD=VALUE, or {name}={{FIELD: VALUE}}")
        for one, new in {field: value}.items() if field else value.items():
            if one not in config[section]:
                also = renamed.hint(f"{section}.{one}")
                raise UserError(f"unknown config field: {section}.{one}{also}")
            new = tuple(new) if isinstance(new, (list, np.ndarray, range)) else new
            try:
                config[section][one] = new
            except (TypeError, ValueError) as error:
                raise UserError(f"{section}.{one}: {error}".splitlines()[0]) from None
    return config, load


def _all_labels(config: ConfigDict) -> ConfigDict:
    """`config` on all labels there are; a source that draws its `pairs` has those it says."""
    held = config.data.get("labels")
    if held is None or "pairs" in config.data or held in (0, (0,)):
        return config
    config.data.labels = 0
    logging.warning("data.labels: fit takes all there are")
    return config


def _strengths(strength: Any, data: Any) -> tuple:
    """The field `hyper.strength`: entries by name become tuples in the order of the modalities."""
    several = isinstance(strength, (Sequence, np.ndarray)) and not isinstance(strength, str)

    def one(entry: Any) -> Any:
        if not isinstance(entry, Mapping):
            return tuple(entry) if isinstance(entry, (list, np.ndarray)) else entry
        names = tuple(getattr(data, "modalities", entry))
        if set(names) != set(entry):
            raise UserError(f"strength: {dict(entry)} is not one λ each for {', '.join(names)}")
        return tuple(entry[name] for name in names)

    return tuple(one(entry) for entry in strength) if several else (one(strength),)
