"""The law across tasks: does the best strength follow what the encoders share?

Three questions, each with its own answer. *For these tasks*, the interval of ρ is over new seeds.
*For new tasks* like these it is over seeds and over what tasks are made of, see `factors`; it
speaks neither of other datasets nor of other architectures. *Is there a law at all?* is asked by
exchanging tasks or views, see `exchanges`, with p values for all that is said at once; 0 is inside
an interval wherever that p is above 5 %, or λ* is not shown to differ.

In simulated laws without any relation, over all pairs of 5 to 10 views, 1 to 4 % of ρ are found to
differ from 0, where resampling views alone finds up to 6 %; 93 to 99 % of intervals hold the ρ of
many views. See `tests/calibration`.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import isotonic_regression

from redalign_jax.analysis import correlation, differences, factors, permutation, strengths
from redalign_jax.analysis.points import GAP, INFORMATION, OUTCOMES, Points, points

PLACES = 33  # of a fitted curve
ALPHA = 1 - differences.LEVEL


def _ranks(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Centred midranks of every resample, scaled to unit variance; 0 where all are equal."""
    ranks = correlation.midranks(values, times)
    total = times.sum(axis=1, keepdims=True)
    ranks -= (times * ranks).sum(axis=1, keepdims=True) / total
    spread = np.sqrt((times * ranks**2).sum(axis=1, keepdims=True) / total)
    return ranks / np.where(spread > 1e-9, spread, np.inf)


class Sample(NamedTuple):
    """Resampled points, as ranks.

    Attributes:
      times: (resamples, points) how often each point is there.
      ranks: {quantity: (resamples, points)} standardised.
    """

    times: np.ndarray
    ranks: dict[str, np.ndarray]

    def correlation(self, a: str, b: str) -> np.ndarray:
        """Spearman's rank correlation in every resample; 0 where either is constant."""
        product = (self.times * self.ranks[a] * self.ranks[b]).sum(axis=1)
        return product / self.times.sum(axis=1)


def sample(found: Points) -> Sample:
    """Ranks of all quantities; a resample in which all points coincide is left out."""
    whole = np.all([np.isfinite(found.values[n]) for n in (*OUTCOMES, *INFORMATION)], axis=0)
    times = np.where(whole, found.times, 0)
    keep = (times > 0).sum(axis=1) > 2
    times = times[keep]
    names = (*OUTCOMES, *INFORMATION, GAP)
    ranks = {n: _ranks(np.nan_to_num(found.values[n][keep]), times) for n in names}
    return Sample(times, ranks)


def _fit(found: Points, outcome: str, scale: np.ndarray | None, rising: bool) -> dict[str, Any]:
    """The monotone curve of least squares through the points, with its pointwise band.

    λ* is fitted on the places of the strengths that were swept, so that the largest does not decide
    alone.
    """
    x, y = found.values["shared_fraction"], found.values[outcome]
    if scale is not None:
        y = np.interp(y, scale, np.arange(len(scale)))
    at = np.linspace(np.nanmin(x[0]), np.nanmax(x[0]), PLACES)
    curves = []
    for xs, ys, times in zip(x, y, found.times, strict=True):
        here = np.isfinite(xs) & np.isfinite(ys) & (times > 0)
        if not here.any():
            continue
        where, which = np.unique(xs[here], return_inverse=True)
        mass = np.bincount(which, times[here])
        mean = np.bincount(which, times[here] * ys[here]) / mass
        level = isotonic_regression(mean, weights=mass, increasing=rising).x
        curves.append(np.interp(at, where, level))
    curves = np.array(curves)
    ends = np.quantile(curves[1:], differences.TAILS, axis=0)
    if scale is not None:
        curves, ends = (np.interp(v, np.arange(len(scale)), scale) for v in (curves, ends))
    return {
        "shared_fraction": at.tolist(),
        "value": curves[0].tolist(),
        "low": ends[0].tolist(),
        "high": ends[1].tolist(),
    }


def centred(
    name: str, values: np.ndarray, seeds: int | None = None, share: float = 0.0
) -> dict[str, float]:
    """A number, observed first, then resampled, with its 95 % interval.

    Normal in shape, or Student's t where only `seeds` were drawn; `share` as in
    `differences.standard_error`.
    """
    half = stats.norm.ppf(differences.TAILS[1]) * np.nanstd(values[1:])
    if seeds:
        half = stats.t.ppf(differences.TAILS[1], seeds - 1) * np.nanstd(values[1:])
        # resampling takes the mean for known
        half *= np.sqrt(seeds / (seeds - 1) * (1 + seeds * share))
    value = float(values[0])
    return {name: value, f"{name}_low": value - half, f"{name}_high": value + half}


def _both(s: Sample, outcome: str, points: int, sampled: bool) -> dict[str, Any]:
    """Rank regression on shared fraction and accuracy gap together.

    Without intervals where tasks are not `sampled`.
    """
    first, second = (s.correlation(outcome, name) for name in ("shared_fraction", GAP))
    between = s.correlation("shared_fraction", GAP)
    left = 1 - between**2
    left = np.where(left > 1e-6, left, np.nan)
    own, gap = (first - second * between) / left, (second - first * between) / left
    row = centred("shared_fraction", own) | centred(GAP, gap)
    row |= correlation.interval("between", between, points)
    if not sampled:
        row |= {name: np.nan for name in row if name.endswith(("_low", "_high"))}
    explained = float((own * first + gap * second)[0])
    return {"outcome": outcome, "explained": explained} | row


def _said(found: Points) -> dict[str, Any]:
    """Correlations and slopes with intervals, before they are tested."""
    s, count = sample(found), len(found.keys)
    fixed = sample(found._replace(times=np.ones_like(found.times)))
    drawn = factors.drawn(found.factors)
    relations = []
    for outcome in OUTCOMES:
        values = np.nan_to_num(found.values[outcome])
        kept = correlation.reliability(values, found.seeds, found.share)
        for predictor in (*INFORMATION, GAP):
            rho, here = (some.correlation(outcome, predictor) for some in (s, fixed))
            row = correlation.interval("spearman", rho, count, None, kept)
            if not drawn:  # nothing is known of other tasks
                row |= {"spearman_low": -1.0, "spearman_high": 1.0}
            row |= correlation.interval(
                "these_tasks", here, count, found.seeds, kept, share=found.share
            )
            relations.append({"outcome": outcome, "predictor": predictor} | row)
    return {
        "resampled": ["seeds", *drawn],
        "exchanged": {f.name: len(f.levels) for f in found.factors},
        "constant": correlation.constant(found.curves, found.share),
        "relations": relations,
        "together": [_both(s, o, count, bool(drawn)) for o in OUTCOMES],
    }


def _fits(found: Points, results: pd.DataFrame, relations: list[dict]) -> list[dict[str, Any]]:
    swept = results[differences.columns(results).strengths].to_numpy()
    swept = np.unique(swept[np.isfinite(swept)])
    fits = []
    for relation in relations:
        if relation["predictor"] != INFORMATION[0]:
            continue
        outcome, rising = relation["outcome"], relation["spearman"] >= 0
        scale = swept if outcome == "best_strength" else None
        fits.append({"outcome": outcome, "rising": rising} | _fit(found, outcome, scale, rising))
    return fits


def _described(found: Points, best: pd.DataFrame) -> list[dict[str, Any]]:
    """Every point: its task, its information with intervals over seeds, and what λ did to it."""
    table = found.keys.copy()
    for name in (*INFORMATION, GAP):
        values = found.values[name]
        table[name] = values[0]
        table[f"{name}_low"], table[f"{name}_high"] = np.nanquantile(
            values[1:], differences.TAILS, axis=0
        )
    for end in ("low", "high"):  # an estimate is uncertain even where seeds agree
        estimated = found.values[f"shared_fraction_{end}"][0]
        known = np.isfinite(estimated)
        table.loc[known, f"shared_fraction_{end}"] = estimated[known]
    return differences.records(table.merge(best, on=list(found.keys), how="left"))


def laws(results: pd.DataFrame, decomposition: pd.DataFrame | None = None) -> list[dict]:
    """The law, and a stricter one: every encoder read at its best validation step.

    The second asks for what is left of gains once stopping early has prevented overfitting too.

    Args:
      results: the tidy table.
      decomposition: see `information.of_encoders`.

    Returns:
      Up to two, none where too little is known of the tasks' information:
      {"metric", "tasks", "seeds", "resampled": what was drawn, "exchanged": {factor: its levels},
       "constant": p of "λ* is the same everywhere", "exact": whether the information is,
       "points": rows of `strengths.best` with the information and the accuracy gap,
       "relations": {"outcome", "predictor", "spearman" with its interval over new tasks, −1 to 1
         where they are too few, "p": adjusted, by exchanges, "these_tasks": the same correlation,
         its interval over seeds alone},
       "fits": {"outcome", "rising", "shared_fraction", "value", "low", "high"}, the monotone curve
         of least squares and its pointwise band (percentiles),
       "together": {"outcome", "shared_fraction", "accuracy_gap": slopes of standardised ranks, each
         with its adjusted p, "explained": their R², "between": Spearman's correlation of the two}};
      numbers have `_low` and `_high`. The family of a p is what both laws say of one predictor,
      with all slopes for the shared fraction.
    """
    metric, _ = differences.quality_metric(results)
    measured = set(results["metric"])
    metrics = [m for m in (metric, f"early_{metric}") if m in measured]
    both = [(m, found) for m in metrics if (found := points(results, m, decomposition))]
    said = tested([found for _, found in both])
    return [
        {
            "metric": one_metric,
            "tasks": found.tasks,
            "seeds": int(results["seed"].nunique()),
            "exact": found.exact,
            "points": _described(found, strengths.best(results, one_metric)),
            "fits": _fits(found, results, one["relations"]),
        }
        | {k: differences.records(pd.DataFrame(v)) if k in _TABLES else v for k, v in one.items()}
        for (one_metric, found), one in zip(both, said, strict=True)
    ]


_TABLES = ("relations", "together")


def tested(both: list[Points]) -> list[dict[str, Any]]:
    """What may be said of several laws of the same tasks: the parts of `laws` that are claims."""
    said = [_said(found) for found in both]
    _judge(said, [permutation.statistics(found) for found in both])
    return said


def _judge(said: list[dict[str, Any]], tests: list[dict[tuple, np.ndarray]]) -> None:
    """Adds p values to relations and slopes, and 0 to intervals that must hold it."""
    # laws of the same tasks are exchanged alike
    least = min((len(next(iter(t.values()))) for t in tests), default=0)
    p: dict[tuple, float] = {}
    for predictor in (*INFORMATION, GAP):
        family = {
            (i, *key): values[:least]
            for i, test in enumerate(tests)
            for key, values in test.items()
            if _family(*key) == predictor
        }
        if family:
            p |= zip(family, permutation.adjusted(np.stack(list(family.values()), 1)), strict=True)
    for i, one in enumerate(said):
        for row in one["relations"]:
            row["p"] = float(p[i, "relation", row["outcome"], row["predictor"]])
            if row["p"] > ALPHA or _same(one, row["outcome"]):
                row |= correlation.with_zero("spearman", row)
            if _same(one, row["outcome"]):
                row |= correlation.with_zero("these_tasks", row)
        for row in one["together"]:
            for name in ("shared_fraction", GAP):
                row[f"{name}_p"] = float(p[i, "slope", row["outcome"], name])
                known = np.isfinite(row[f"{name}_low"])
                if known and (row[f"{name}_p"] > ALPHA or _same(one, row["outcome"])):
                    row |= correlation.with_zero(name, row)


def _family(kind: str, outcome: str, predictor: str) -> str:
    """The predictor whose family a test belongs to; all slopes are of the first."""
    return predictor if kind == "relation" else INFORMATION[0]


def _same(one: dict[str, Any], outcome: str) -> bool:
    """Whether λ* is asked for and not shown to differ."""
    return outcome == "best_strength" and one["constant"] > ALPHA
