"""A model of alignment that one can solve: linear encoders of two Gaussian views.

A predictor of p whitened inputs is w = Wᵀv, of an encoder W (a × p) and its head v (a,). Alignment
asks W to predict the partner's whitened embedding t (a,), which it can along a directions alone,
with canonical correlation r. Over the encoders that give the same w the penalty is least at

    min over W, v with Wᵀv = w of ‖W − E[t xᵀ]‖² = r² sin²∠(w, aligned directions),

so that alignment does not shrink a predictor, it turns it. The loss is

    (1/n) ‖y − Xw‖² + h sin²∠(w, aligned directions),   h = λ r².

Stationary points are those of a ridge regression with two penalties, one positive on the private
directions and one negative on the aligned ones, that depend on the length of w in both. As n and p
grow these lengths do not fluctuate, and the risk follows from a scalar fixed point. Derivation,
assumptions and checks: docs/theory.md.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import optimize

PULLS = np.geomspace(1e-6, 1e6, 60)  # at which the model is first looked at


class View(NamedTuple):
    """What an encoder sees, in the basis where its inputs are white.

    Attributes:
      inputs: p, directions of the view.
      aligned: a, those that the partner's embedding has, 0 < a < p.
      explained: B, variance of the label that the best linear predictor of the view explains.
      shared: ρ in [0, 1], the part of B that lies in the aligned directions.
      noise: σ², variance of the label that the view does not explain, a partner's part included.
      labels: n, above p + 1; may be a fraction.
    """

    inputs: int
    aligned: int
    explained: float
    shared: float
    noise: float
    labels: float


class Fit(NamedTuple):
    """The encoder at one penalty.

    Attributes:
      penalty: h.
      risk: expected squared error on new rows, σ² included.
      shrink: (2,) expected weights over true ones, of aligned and of private directions.
      sine: sin² of the angle between the predictor and the aligned directions.
    """

    penalty: float
    risk: float
    shrink: np.ndarray
    sine: float


def _ridge(view: View, penalties: np.ndarray) -> tuple[float, np.ndarray, np.ndarray] | None:
    """Ridge regression with a penalty μ_g per group: risk, shrinkage, squared lengths of w.

    Deterministic equivalents of (XᵀX/n + diag μ)⁻¹ for white X. The largest ξ with
    ξ + Σ p_g ξ / n(ξ + μ_g) = 1, a cubic, gives s_g = ξ / (ξ + μ_g),

        risk = (σ² + Σ (1 − s_g)² B_g) / (1 − Σ p_g s_g² / n)
        ‖w_g‖² = s_g² (B_g + p_g risk / n).

    With n − 1 in place of n, the same in the limit, μ = 0 is exact for every n > p + 1.

    Returns:
      None where penalties are so negative that nothing is minimal.
    """
    size, signal, n = *_groups(view), view.labels - 1
    total, product = penalties.sum(), penalties.prod()
    crossed = (size @ penalties[::-1]) / n
    roots = np.roots([1, total - 1 + size.sum() / n, product - total + crossed, -product])
    xi = max(root.real for root in roots if abs(root.imag) < 1e-9)
    if xi <= max(0, -penalties.min()):
        return None
    s = xi / (xi + penalties)
    spread = 1 - np.sum(size * s**2) / n
    if spread <= 0:
        return None
    risk = (view.noise + np.sum((1 - s) ** 2 * signal)) / spread
    return risk, s, s**2 * (signal + size * risk / n)


def _groups(view: View) -> tuple[np.ndarray, np.ndarray]:
    """Directions and explained variance of the aligned part and of the private one."""
    size = np.array([view.aligned, view.inputs - view.aligned], float)
    return size, view.explained * np.array([view.shared, 1 - view.shared])


def _turned(view: View, pull: float, twins: bool) -> Fit | None:
    """The model where the penalty that is felt is `pull` · ‖w‖²: one scalar equation, in sin².

    ∇ h sin² / 2 is −(h q / ‖w‖²) w on aligned and (h (1 − q) / ‖w‖²) w on private directions, with
    q = sin². So w is that of a ridge with μ = pull · (−q, 1 − q), and q is that of w.
    """

    def ridge(sine: float) -> tuple[float, np.ndarray, np.ndarray] | None:
        return _ridge(view, pull * np.array([-sine, 1 - sine]))

    def off(sine: float) -> float:
        found = ridge(sine)
        return -1 if found is None else found[2][1] / found[2].sum() - sine

    alone = _ridge(view, np.zeros(2))[2]
    sine = alone[1] / alone.sum()
    if pull and off(sine) < 0:
        sine = optimize.brentq(off, 0, sine, xtol=1e-14)
    found = ridge(sine)
    if found is None:
        return None
    risk, shrink, lengths = found
    felt = pull * lengths.sum()
    return Fit(felt / (1 - sine) if twins else felt, risk, shrink, sine)


def path(view: View, twins: bool = False) -> list[tuple[float, Fit]]:
    """Pulls, and the model at each, in the order in which growing penalties reach them.

    Where twins turn at once, as the penalty passes some h, what lies between is left out.

    Raises:
      ValueError: a view that the model does not cover.
    """
    check(view)
    found: list[tuple[float, Fit]] = [(0.0, _turned(view, 0.0, twins))]
    for pull in PULLS:
        one = _turned(view, pull, twins)
        if one is not None and one.penalty > found[-1][1].penalty:
            found.append((pull, one))
    return found


def fit(view: View, penalty: float, twins: bool = False) -> Fit:
    """The encoder trained with penalty h ≥ 0.

    Args:
      view: what it sees.
      penalty: h.
      twins: the partner is trained too, sees a view of the same kind and feels the same penalty.
        What has turned in one leaves nothing to be near to in the other: h cos² is felt. If not,
        the partner's embedding is fixed and has the aligned directions.

    Raises:
      ValueError: a view that the model does not cover.
    """
    check(view)
    one = _turned(view, 0.0, twins)
    if not penalty:
        return one
    # ‖w‖² is never ten times what it is without a penalty, and sin² never larger
    longest = 10 * (view.explained + view.inputs * one.risk / (view.labels - 1))
    below = penalty / longest * (1 - one.sine if twins else 1)
    for pull in PULLS[below < PULLS]:
        one = _turned(view, pull, twins)
        if one is None or one.penalty < penalty:
            below = pull
            continue

        def off(pull: float) -> float:
            found = _turned(view, pull, twins)
            return -penalty if found is None else found.penalty - penalty

        return _turned(view, optimize.brentq(off, below, pull, xtol=1e-12), twins)
    return one


def best(view: View, twins: bool = False) -> Fit:
    """The encoder at the h of least risk, a root of d risk / d h, or 0, or ∞.

    A small h lowers the risk if and only if ρ > a / p: an aligned direction then tells more of the
    label than a private one. All of alignment is better than none if and only if
    (1 − ρ) B / σ² < (p − a) / (n − 1 − p): what it takes away is less than what it saves.

    Arguments and errors are those of `fit`.
    """
    found = path(view, twins)
    k = int(np.argmin([one.risk for _, one in found]))
    if k == len(found) - 1:
        return found[k][1]._replace(penalty=math.inf)
    if k == 0 and view.shared * view.inputs <= view.aligned:
        return found[0][1]

    def risk(log_pull: float) -> float:
        one = _turned(view, math.exp(log_pull), twins)
        return math.inf if one is None else one.risk

    between = math.log(found[max(k - 1, 1)][0] / (1 if k > 1 else 30)), math.log(found[k + 1][0])
    least = optimize.minimize_scalar(risk, bounds=between, method="bounded")
    return _turned(view, math.exp(least.x), twins)


def check(view: View) -> None:
    """Refuses what the model does not cover.

    Raises:
      ValueError: one line.
    """
    if not 0 < view.aligned < view.inputs:
        raise ValueError(f"aligned: {view.aligned} is not between 0 and the {view.inputs} inputs")
    if not 0 <= view.shared <= 1:
        raise ValueError(f"shared: {view.shared} is not in [0, 1]")
    if not (view.explained > 0 and view.noise > 0):
        raise ValueError("explained, noise: both must be above 0")
    if not view.labels > view.inputs + 1:
        raise ValueError(f"labels: {view.labels:g} must be above inputs + 1, {view.inputs + 1}")


def many_labels(view: View, twins: bool = False) -> tuple[float, float]:
    """Best penalty and its gain in risk, to leading order in 1 / n.

        h* = (σ²/n) (pρ − a) / ρ(1 − ρ),   gain = (σ²/n)² (pρ − a)² / B ρ(1 − ρ),

    both 0 where pρ ≤ a. For twins h* is larger by 1/ρ, as they feel h cos² = h ρ.
    """
    rho, lead = view.shared, view.inputs * view.shared - view.aligned
    if lead <= 0:
        return 0.0, 0.0
    each, spread = view.noise / view.labels, rho * (1 - rho)
    if not spread:
        return math.inf, math.nan
    return each * lead / spread / (rho if twins else 1), (each * lead) ** 2 / (
        view.explained * spread
    )


def of_few_pairs(view: View, correlation: float, pairs: float) -> tuple[View, float]:
    """The view and r² as seen with N pairs, N ≥ 4 p.

    The directions of a partner are then those of an estimate of E[t xᵀ], whose entries, where the
    pairs are white, have the variance v = (1 − r²)/N: they are tilted, and hold
    (r² + a v)/(r² + p v) of what lies in the true ones and a v/(r² + p v) of the rest.

    Args:
      view: for N = ∞.
      correlation: r.
      pairs: N.

    Returns:
      The view with its effective ρ, and r² + p v, the square that scales h = λ r².
    """
    square = correlation**2
    v = (1 - square) / pairs
    total = square + view.inputs * v
    own = view.shared * square + view.aligned * v
    return view._replace(shared=own / total), total


def captured(width: int, common: int, signal: float, risk: float, labels: float) -> float:
    """Part of the shared label signal that lies in an embedding narrower than what is shared.

    A partner whose d < K dimensions hold its own predictor of the label, and d − 1 other shared
    directions: its predictor's shared part has the true direction with cos² = c,
    c = B_S / (B_S + K risk / n), the others hold (d − 1)/(K − 1) of what is left. The better the
    partner (the lower its risk), the more it captures; from d = K on it is 1 whatever the partner.

    Args:
      width: d.
      common: K, directions that are shared.
      signal: B_S, variance of the label that they explain for the partner.
      risk: the partner's expected squared error.
      labels: the partner's n.
    """
    if width >= common:
        return 1.0
    c = signal / (signal + common * risk / labels)
    return c + (1 - c) * (width - 1) / (common - 1)


def of_info_nce(
    strength: float, temperature: float, aligned: int, correlation: float, residual: float = 0
) -> float:
    """The penalty h of InfoNCE at strength λ, on unit vectors.

    InfoNCE to second order in its scores is −tr C₁₂/τ + tr S₁S₂/2τ²; with embeddings of unit
    length spread over a directions a turn of one of them costs (r / 2τa) sin². Where the
    task's loss is the absolute error of residuals of deviation s, it bends like the square over
    s √(2π).

    Args:
      strength: λ.
      temperature: τ.
      aligned: a.
      correlation: r, canonical, of the aligned directions.
      residual: s; 0 for a squared task loss.
    """
    bend = residual * math.sqrt(2 * math.pi) if residual else 1.0
    return strength * bend * correlation / (2 * temperature * aligned)
