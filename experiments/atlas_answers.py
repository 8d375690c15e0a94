"""What the atlas answers, with intervals over datasets. Prints the tables of docs/atlas.md.

python experiments/atlas_answers.py [--table=RUNS/atlas.parquet]

Without --table it reads the one of the package. Correlations are Spearman's. *Between* is over the
means of datasets, p by exchanging datasets; *within* is the mean over datasets of at least four
encoders, p by exchanging the names of the views of each. One label count per encoder, the smallest.
Predictions are of datasets left out one after another; every dataset counts as one.
"""

import argparse
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a checkout need not be installed

from redalign_jax.analysis import atlas, theory  # noqa: E402

EXCHANGES = 2000
FEWEST = 4  # encoders of a dataset, to ask within it
# that had no part in building the posterior mechanism
UNSEEN = (
    "mosi",
    "pom",
    "dermatology",
    "vowels",
    "segment",
    "adult",
    "arrhythmia",
    "watch",
    "racket",
)


def first(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per encoder, of the fewest labels."""
    return rows.sort_values("labels", kind="stable").drop_duplicates(
        ["dataset", "pairing", "encoder", "partner"]
    )


def outcomes(rows: pd.DataFrame, moment: str) -> pd.DataFrame:
    """What InfoNCE and the posterior mechanism did, per encoder."""
    names = [f"{s:g}" for s in atlas.STRENGTHS]
    changes = np.column_stack([np.zeros(len(rows)), rows[[f"{moment}_{n}" for n in names]]])
    valid = np.column_stack([np.zeros(len(rows)), rows[[f"valid_{n}" for n in names]]])
    chosen = valid.argmax(axis=1)
    return pd.DataFrame(
        {
            "best strength": changes.argmax(axis=1).astype(float),
            "gain, λ by validation": changes[np.arange(len(rows)), chosen],
            "change at λ = 1": rows[f"{moment}_1"].to_numpy(float),
            "change at λ = 10": changes[:, -1],
            "change by posteriors": rows[f"{moment}_posterior"].to_numpy(float),
        },
        index=rows.index,
    )


def between(x: pd.Series, y: pd.Series, dataset: pd.Series, rng: np.random.Generator) -> str:
    """Spearman's ρ of dataset means, its interval, and p by exchange."""
    means = pd.DataFrame({"x": x, "y": y, "d": dataset}).dropna().groupby("d").mean()
    rho = stats.spearmanr(means.x, means.y).statistic
    moved = [stats.spearmanr(rng.permutation(means.x), means.y).statistic for _ in range(EXCHANGES)]
    p = (1 + np.sum(np.abs(moved) >= abs(rho) - 1e-9)) / (1 + EXCHANGES)
    half = 1.96 * 1.03 / np.sqrt(len(means) - 3)
    low, high = np.tanh(np.arctanh(np.clip(rho, -0.999, 0.999)) + np.array([-half, half]))
    return f"{rho:+.2f} [{low:+.2f}, {high:+.2f}] p {p:.3f} ({len(means)})"


def within(x: str, y: pd.Series, rows: pd.DataFrame, rng: np.random.Generator) -> str:
    """Mean over datasets of ρ inside each, its interval over datasets, and p by exchange."""
    found, moved = [], []
    for _, own in rows.assign(y=y).dropna(subset=[x, "y"]).groupby("dataset"):
        if len(own) < FEWEST or own[x].nunique() < 2 or own["y"].nunique() < 2:
            continue
        found.append(stats.spearmanr(own[x], own["y"]).statistic)
        moved.append(_exchanged(x, own, rng))
    mean, count = np.mean(found), len(found)
    half = stats.t.ppf(0.975, count - 1) * np.std(found, ddof=1) / np.sqrt(count)
    null = np.mean(moved, axis=0)
    p = (1 + np.sum(np.abs(null) >= abs(mean) - 1e-9)) / (1 + EXCHANGES)
    return f"{mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}] p {p:.3f} ({count})"


def _exchanged(x: str, own: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """ρ with every view's predictor given to another view; pairings are exchanged whole."""
    views = sorted(set(own["encoder"]))
    keys = list(zip(own["pairing"], own["encoder"], own["partner"], strict=True))
    value = dict(zip(keys, own[x], strict=True))
    pairings = sorted(set(own["pairing"]))
    every = list(permutations(views)) if len(views) <= 5 else None
    ranks, found = stats.rankdata(own["y"]), np.empty(EXCHANGES)
    for i in range(EXCHANGES):
        new = every[rng.integers(len(every))] if every else rng.permutation(views)
        named = dict(zip(views, new, strict=True))
        paired = dict(zip(pairings, rng.permutation(pairings), strict=True))
        moved = [value.get((paired[p], named[a], named[b]), np.nan) for p, a, b in keys]
        here = np.isfinite(moved)
        x, y = stats.rankdata(np.array(moved)[here]), ranks[here]
        found[i] = np.corrcoef(x, y)[0, 1] if np.ptp(x) and np.ptp(y) else 0
    return found


def correlations(rows: pd.DataFrame, moment: str) -> pd.DataFrame:
    """Does what is shared predict what alignment does?"""
    rng = np.random.default_rng(0)
    table = {}
    lead = rows[f"partner_{moment}"] - rows[f"score_{moment}"]
    rows = rows.assign(lead=lead)
    for name, y in outcomes(rows, moment).items():
        for x in ("shared_fraction", "redundancy_fraction", "lead"):
            both_ways = x == "lead"  # of a pair's two encoders it is one number and its negative
            table[name, x] = {
                "between": "" if both_ways else between(rows[x], y, rows["dataset"], rng),
                "within": within(x, y, rows, rng),
            }
    return pd.DataFrame(table).T


def theoretical(rows: pd.DataFrame, strength: float, moment: str) -> np.ndarray:
    """Fall in risk that the solvable model expects, with inputs estimated from the atlas.

    p = min(columns, 32), a = p · CKA directions are shared, r² = CKA, B the part of the way from
    the majority to 100 %, ρ the shared fraction.
    """
    of = atlas.encoders(rows, moment)
    found = np.full(len(rows), np.nan)
    for i in range(len(rows)):
        p = int(min(rows["dim"].iloc[i], 32))
        cka = float(np.clip(rows["cka"].iloc[i], 0.02, 0.98))
        explained = float(
            np.clip((of.score[i] - of.majority[i]) / (100 - of.majority[i]), 0.02, 0.98)
        )
        shared = float(of.shared_fraction[i])
        if p < 3 or not np.isfinite(shared) or not of.classes[i]:
            continue
        aligned = int(np.clip(round(p * cka), 1, p - 1))
        view = theory.View(p, aligned, explained, shared, 1 - explained, float(of.labels[i]))
        h = theory.of_info_nce(strength, 0.2, aligned, np.sqrt(cka))
        found[i] = theory.fit(view, 0.0, True).risk - theory.fit(view, h, True).risk
    return found


def by_slope(x: np.ndarray, y: np.ndarray, rows: pd.DataFrame) -> np.ndarray:
    """Predictions of datasets left out by a line in one number; its mean where that is unknown."""
    dataset = rows["dataset"].to_numpy()
    known, found = np.isfinite(x), np.empty(len(y))
    weight = atlas._weight(rows)
    for name in np.unique(dataset):
        out, fit = dataset == name, (dataset != name) & known
        line = np.polynomial.polynomial.polyfit(x[fit], y[fit], 1, w=np.sqrt(weight[fit]))
        mean = np.average(y[dataset != name], weights=weight[dataset != name])
        found[out] = np.where(known[out], line[0] + line[1] * np.nan_to_num(x[out]), mean)
    return found


def predictions(rows: pd.DataFrame, moment: str) -> pd.DataFrame:
    """How well datasets left out are predicted: R² against the mean of the others."""
    weight, dataset = atlas._weight(rows), rows["dataset"].to_numpy()
    table = {}
    lead = (rows[f"partner_{moment}"] - rows[f"score_{moment}"]).to_numpy(float)
    for arm in ("0.3", "1", "10", atlas.POSTERIOR):
        y = rows[f"{moment}_{arm}"].to_numpy(float)
        mean = np.array(
            [np.average(y[dataset != d], weights=weight[dataset != d]) for d in dataset]
        )
        found = {"nothing, 0": np.zeros(len(y)), "partner's lead": by_slope(lead, y, rows)}
        found["shared fraction"] = by_slope(rows["shared_fraction"].to_numpy(float), y, rows)
        if arm != atlas.POSTERIOR:
            found["solvable model"] = by_slope(theoretical(rows, float(arm), moment), y, rows)
        found["five numbers"] = atlas.left_out(rows, (arm,), moment)[:, 0]
        base = pd.Series((y - mean) ** 2).groupby(dataset).mean()
        noise = np.average(rows[f"{moment}_{arm}_se"] ** 2, weights=weight)
        for name, guess in found.items():
            error = pd.Series((y - guess) ** 2).groupby(dataset).mean()
            less = (base - error) / base.mean()
            half = stats.t.ppf(0.975, len(less) - 1) * less.sem()
            table[arm, name] = {
                "R²": f"{less.mean():+.2f} [{less.mean() - half:+.2f}, {less.mean() + half:+.2f}]",
                "error, points": f"{np.sqrt(error.mean()):.2f}",
                "noise, points": f"{np.sqrt(noise):.2f}",
            }
    return pd.DataFrame(table).T


def coverage(rows: pd.DataFrame, moment: str) -> pd.Series:
    """How often 95 % prediction intervals hold a dataset that had no part in them."""
    inside = pd.DataFrame(index=rows.index, columns=list(atlas.ARMS), dtype=float)
    for name in rows["dataset"].unique():
        out = rows["dataset"] == name
        found = atlas.expected(atlas.encoders(rows[out], moment), rows=rows[~out], moment=moment)
        low, high = found.ends()
        y = rows.loc[out, [f"{moment}_{arm}" for arm in atlas.ARMS]].to_numpy(float)
        inside.loc[out] = ((low <= y) & (y <= high)).astype(float)
    return inside.groupby(rows["dataset"]).mean().mean()


def harms(rows: pd.DataFrame, moment: str) -> pd.DataFrame:
    """Who loses more than a point, and could one have known."""
    table = {}
    for k, arm in enumerate(atlas.ARMS):
        y, se = (rows[f"{moment}_{arm}{end}"].to_numpy(float) for end in ("", "_se"))
        guess = atlas.left_out(rows, atlas.ARMS, moment)[:, k]
        lead = (rows[f"partner_{moment}"] - rows[f"score_{moment}"]).to_numpy(float)
        lost, sure = y < -1, y + 1.645 * se < -1
        of_data = pd.Series(y).groupby(rows["dataset"].to_numpy()).mean()
        half = stats.t.ppf(0.975, len(of_data) - 1) * of_data.sem()
        table[arm] = {
            "mean": f"{of_data.mean():+.2f} ± {half:.2f}",
            "worst": f"{y.min():+.1f}",
            "below −1": f"{lost.sum()} of {len(y)}",
            "beyond noise": f"{sure.sum()}",
            "AUC, five numbers": f"{_auc(-guess, lost):.2f}",
            "AUC, lead": f"{_auc(-lead, lost):.2f}",
            "AUC, validation": f"{_auc(-rows[f'valid_{arm}'].to_numpy(float), lost):.2f}",
        }
    return pd.DataFrame(table).T


def tuned(rows: pd.DataFrame, moment: str) -> str:
    """InfoNCE with λ, 0 too, of the best validation score; and how far posteriors are ahead."""
    found = outcomes(rows, moment)
    chosen, posterior = found["gain, λ by validation"], found["change by posteriors"]
    said = []
    for name, each in (("λ by validation", chosen), ("posteriors ahead", posterior - chosen)):
        of_data = each.groupby(rows["dataset"]).mean()
        half = stats.t.ppf(0.975, len(of_data) - 1) * of_data.sem()
        lost = f"worst {each.min():+.1f}, {int((each < -1).sum())} of {len(each)} below −1"
        said.append(f"{name}: {of_data.mean():+.2f} ± {half:.2f}, {lost}")
    return "; ".join(said)


def _auc(score: np.ndarray, label: np.ndarray) -> float:
    if label.all() or not label.any():
        return np.nan
    return stats.mannwhitneyu(score[label], score[~label]).statistic / label.sum() / (~label).sum()


def main() -> None:
    """Prints every table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path)
    args = parser.parse_args()
    every = pd.read_parquet(args.table) if args.table else atlas.table()
    rows = first(every)
    print(f"{len(every)} rows, {len(rows)} encoders, {rows['dataset'].nunique()} datasets")
    for moment in ("early", "last"):
        print(f"\n# {moment}\n{harms(every, moment).to_string()}\n{tuned(every, moment)}")
        others = every[every["dataset"].isin(UNSEEN)]
        print(f"of the nine: {tuned(others, moment)}\n{harms(others, moment).to_string()}")
        print(f"\n{correlations(rows, moment).to_string()}")
        print(f"\n{predictions(every, moment).to_string()}")
        print(f"\ncoverage\n{coverage(every, moment).round(3).to_string()}", flush=True)


if __name__ == "__main__":
    main()
