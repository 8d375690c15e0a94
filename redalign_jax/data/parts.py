"""The parts of a split that was published with some of them missing."""

import numpy as np

from redalign_jax.data import grouped, notes, strata
from redalign_jax.errors import UserError

NAMES = ("train", "valid", "test")
TRAIN, VALID, TEST = range(3)


def completed(
    split: np.ndarray,
    stratum: np.ndarray,
    known: np.ndarray,
    groups: np.ndarray | None,
    *,
    valid: float,
    test: float,
    least: int,
    seed: int,
    source: str,
) -> list[np.ndarray]:
    """Row numbers of train, valid and test; a part that no row names is drawn from train.

    A drawn part has its share of the labelled training rows, stratified; groups stay whole.
    Unlabelled rows of valid and test are of no use and left out.

    Args:
      split: (n,) 0, 1 or 2, for `NAMES`.
      stratum: (n,) classes, or quantiles of a target.
      known: (n,) bool, the rows that have a label.
      groups: (n,) numbers, equal for rows that belong together, or None.
      valid, test: shares of a part that is drawn.
      least: rows of every stratum that a part needs.
      seed: of the draw.
      source: the file, for what is said.

    Raises:
      UserError: no row is for training, or the shares leave a part without a class.
    """
    parts = [np.flatnonzero(split == part) for part in range(3)]
    parts[1:] = [part[known[part]] for part in parts[1:]]
    rows, missing = parts[TRAIN], [part for part in (VALID, TEST) if not (split == part).any()]
    if not len(rows):
        raise UserError(f"{source}: no examples in its train split")
    if not missing:
        return parts
    names = " and ".join(NAMES[part] for part in missing)
    notes.once(f"{source}: 'split' names no {names}, drawn from its training rows for every seed")
    labelled = rows[known[rows]]
    shares = {VALID: valid, TEST: test}
    total = {part: round(shares[part] * len(labelled)) for part in missing}
    if groups is not None:
        found = grouped.draw(
            stratum[rows],
            groups[rows],
            known[rows],
            valid=total.get(VALID, 0),
            test=total.get(TEST, 0),
            least=least,
            seed=seed,
            source=source,
        )
        train, spare, *drawn = (rows[own] for own in found)
        parts[TRAIN] = np.sort(np.concatenate([train, spare]))
        for part, own in zip((VALID, TEST), drawn, strict=True):
            parts[part] = own if part in missing else parts[part]
        return parts
    rng = np.random.default_rng(seed)
    rest, classes = rng.permutation(labelled), len(np.unique(stratum[labelled]))
    if least * classes * (1 + len(missing)) > len(rest) or min(total.values()) < least * classes:
        asked = ", ".join(f"data.{NAMES[part]}={shares[part]}" for part in missing)
        raise UserError(
            f"{asked} of the {len(rest)} labelled training rows of {source} is too little for a "
            "row of every class in each part"
        )
    for part in sorted(missing, reverse=True):
        parts[part], rest = strata.pick(rest, stratum, total[part], least, rng)
    parts[TRAIN] = np.sort(np.concatenate([rest, rows[~known[rows]]]))
    return parts
