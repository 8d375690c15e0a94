"""What is tried: training alone, learning from the partner's posterior, and contrast."""

from typing import Any, NamedTuple

from ml_collections import ConfigDict

from redalign_jax import config as configs

ALONE, POSTERIOR = "alone", "posterior"
STRENGTHS = (0.3, 1.0)  # of contrast


class Arm(NamedTuple):
    """One way to train.

    Attributes:
      name: for people and the atlas.
      strength: λ of every encoder.
      objective: of the alignment.
    """

    name: str
    strength: float
    objective: str


def contrast(strength: float) -> str:
    """The name of contrast at a strength."""
    return f"contrast at λ = {strength:g}"


def of(config: ConfigDict) -> tuple[Arm, ...]:
    """The arms of an experiment, training alone first, the posterior mechanism last.

    Contrast is the experiment's own objective with its own temperature, InfoNCE where that is the
    posterior mechanism.
    """
    objective = contrastive(config).alignment.objective
    arms = [Arm(ALONE, 0.0, objective)]
    arms += [Arm(contrast(s), s, objective) for s in STRENGTHS]
    return (*arms, Arm(POSTERIOR, configs.BALANCED["strength"], configs.BALANCED_OBJECTIVE))


def contrastive(config: ConfigDict) -> ConfigDict:
    """`config` as the contrastive arms are trained."""
    own = configs.Experiment(config.to_dict())
    own.sweep.balanced = own.sweep.shuffled = False
    if own.alignment.objective == configs.BALANCED_OBJECTIVE:
        own.alignment.objective = "info_nce"
    for name, values in own.hyper.items():
        own.hyper[name] = values[:1]
    return own.lock()


def settings(config: ConfigDict, objective: str) -> tuple[ConfigDict, list[dict[str, Any]]]:
    """The experiment of an objective, and the hyperparameters of its arms, in their order."""
    own = contrastive(config)
    if objective == configs.BALANCED_OBJECTIVE:
        own = configs.mechanism(own)
    hyper = {name: values[0] for name, values in own.hyper.items()}
    arms = [arm for arm in of(config) if arm.objective == objective]
    return own, [hyper | {"strength": arm.strength} for arm in arms]
