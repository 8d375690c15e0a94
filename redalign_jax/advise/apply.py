"""A sweep that does what was advised."""

import json
from pathlib import Path

from ml_collections import ConfigDict

from redalign_jax import config as configs
from redalign_jax import renamed
from redalign_jax.errors import UserError
from redalign_jax.fields import OBJECTIVES


def asked(config: ConfigDict) -> list[str]:
    """The modalities that `config.data` names; none where it leaves them to the source."""
    field = config.data.get("modalities", "")
    field = field[0] if isinstance(field, tuple) and len(field) == 1 else field
    return [name.strip() for name in field.split(",")] if isinstance(field, str) and field else []


def apply(config: ConfigDict, path: str | Path) -> ConfigDict:
    """`config` with the objective and hyperparameters that `advice.json` advises, and strength 0.

    Args:
      config: an experiment on the task that the advice is for.
      path: of `advice.json`; only known fields are taken from it.

    Raises:
      UserError: it cannot be read, or is not an advice.
    """
    try:
        found = json.loads(Path(path).read_text())["config"]
        names, hyper = list(found["modalities"]), renamed.config({"hyper": found["hyper"]})["hyper"]
        strengths = tuple(tuple(float(v) for v in each) for each in hyper.pop("strength"))
        own = {name: tuple(float(v) for v in hyper[name]) for name in hyper if name in config.hyper}
        objective = found.get("alignment", {}).get("objective", config.alignment.objective)
        if objective not in OBJECTIVES:
            raise ValueError(objective)
    except OSError as error:
        raise UserError(f"advice: {path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"advice: {path} is no advice.json") from None
    if names and asked(config) and asked(config) != names:
        raise UserError(
            f"advice: {path} is for {', '.join(names)}, not for {', '.join(asked(config))}"
        )
    advised = ConfigDict(config.to_dict())
    advised.sweep.balanced = False  # unless it is what is advised
    if objective == configs.BALANCED_OBJECTIVE:
        advised = ConfigDict(configs.mechanism(advised).to_dict())
    advised.alignment.objective = objective
    for name, values in (own | {"strength": strengths}).items():
        advised.hyper[name] = values
    return advised
