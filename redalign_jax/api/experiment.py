"""What a caller names, with fields changed, as an experiment and what makes its tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from redalign_jax import config as configs
from redalign_jax import config_files, renamed
from redalign_jax.data import Load
from redalign_jax.data.memory import Dataset
from redalign_jax.errors import UserError

Strength = float | Sequence[float] | Mapping[str, float]


def experiment(
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


def strengths(strength: Any, data: Any) -> tuple:
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
