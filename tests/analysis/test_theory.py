"""The solvable model against simulation of exactly that model, in float64."""

import math

import jax
import numpy as np
import pytest
from scipy import optimize

from redalign_jax.alignment import info_nce
from redalign_jax.analysis import theory
from redalign_jax.analysis.theory import View


def draw(view, seed):
    """True weights with the label's variance split as the view says, and moments of n rows."""
    rng = np.random.default_rng(seed)
    p, a, n = view.inputs, view.aligned, int(view.labels)
    b = rng.standard_normal(p)
    for part, held in ((slice(a), view.shared), (slice(a, p), 1 - view.shared)):
        b[part] *= math.sqrt(view.explained * held) / np.linalg.norm(b[part])
    x = rng.standard_normal((n, p))
    y = x @ b + math.sqrt(view.noise) * rng.standard_normal(n)
    return b, x.T @ x / n, x.T @ y / n, rng


def simulated(view, penalties, seed, correlation=1.0, pairs=0):
    """Measured risk at each penalty of one draw of labels (and pairs), by the loss's definition."""
    b, second, cross, rng = draw(view, seed)
    p, a = view.inputs, view.aligned
    target, weigh = correlation * np.eye(a, p), np.eye(p)
    if pairs:
        more = rng.standard_normal((pairs, p))
        t = correlation * more[:, :a]
        t += math.sqrt(1 - correlation**2) * rng.standard_normal((pairs, a))
        weigh = more.T @ more / pairs
        target = np.linalg.solve(weigh, more.T @ t / pairs).T

    def penalty(w):
        """min over W, v with Wᵀv = w of ‖(W − target) weigh^½‖²: the least eigenvalue below."""
        length = math.sqrt(w @ weigh @ w)
        unit = weigh @ w / length
        inner = target @ weigh @ target.T - np.outer(target @ unit, target @ unit)
        values, vectors = np.linalg.eigh(inner)
        turn = target.T @ vectors[:, 0]
        return values[0], -2 * (turn @ unit) / length * (weigh @ turn - (turn @ unit) * unit)

    w = np.linalg.solve(second, cross)
    risks = []
    for h in penalties:

        def loss(w, strength=h / correlation**2):
            value, slope = penalty(w)
            gradient = 2 * (second @ w - cross) + strength * slope
            return w @ second @ w - 2 * cross @ w + strength * value, gradient

        w = optimize.minimize(loss, w, jac=True, method="L-BFGS-B", options={"gtol": 1e-8}).x
        risks.append(view.noise + np.sum((w - b) ** 2))
    return risks


VIEWS = [
    View(80, 20, 0.5, 0.6, 0.5, 250),
    View(40, 10, 0.5, 0.1, 0.5, 160),
    View(48, 4, 0.8, 0.9, 0.2, 150),
]


@pytest.mark.parametrize("view", VIEWS)
def test_risk_is_that_of_a_simulation(view):
    penalties = [0, 0.1, 0.3, 1, 3]
    measured = np.mean([simulated(view, penalties, seed) for seed in range(40)], axis=0)
    predicted = [theory.fit(view, h).risk for h in penalties]
    np.testing.assert_allclose(measured, predicted, rtol=0.02)


def test_few_pairs_tilt_what_is_aligned():
    view, strengths, r, pairs = View(40, 10, 0.5, 0.6, 0.5, 160), np.array([0.1, 1, 3]), 0.7, 250
    runs = [simulated(view, strengths * r**2, seed, r, pairs) for seed in range(100)]
    tilted, square = theory.of_few_pairs(view, r, pairs)
    predicted = [theory.fit(tilted, h).risk for h in strengths * square]
    np.testing.assert_allclose(np.mean(runs, axis=0), predicted, rtol=0.02)
    assert tilted.shared < view.shared
    far, limit = theory.of_few_pairs(view, r, 10**9)
    assert far.shared == pytest.approx(view.shared)
    assert limit == pytest.approx(r**2)


def test_an_encoder_and_its_head_are_the_predictor_that_turns():
    """min over W and v of (1/n)‖y − XWᵀv‖² + λ ‖W − M‖² finds the same predictor."""
    view, strength, r = View(12, 3, 0.5, 0.6, 0.5, 60), 0.5, 0.8
    b, second, cross, rng = draw(view, 0)
    target = r * np.eye(3, 12)

    def loss(flat):
        w, v = flat[:36].reshape(3, 12), flat[36:]
        error = second @ (w.T @ v) - cross
        value = v @ w @ (error - cross) + strength * np.sum((w - target) ** 2)
        gradient = 2 * np.outer(v, error) + 2 * strength * (w - target), 2 * w @ error
        return value, np.concatenate([gradient[0].ravel(), gradient[1]])

    start = np.concatenate([target.ravel(), rng.standard_normal(3)])
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 9999})
    w = found.x[:36].reshape(3, 12).T @ found.x[36:]
    risk = view.noise + np.sum((w - b) ** 2)
    assert risk == pytest.approx(simulated(view, [strength * r**2], 0, r)[0], rel=1e-3)


@pytest.mark.parametrize("labels", [20, 100])
def test_without_alignment_it_is_least_squares(labels):
    view = View(16, 4, 0.5, 0.4, 0.5, labels)
    exact = view.noise * (1 + 16 / (labels - 17))  # of any finite n
    assert theory.fit(view, 0).risk == pytest.approx(exact, rel=1e-9)


def test_all_turned_it_is_least_squares_on_what_is_aligned():
    view = View(16, 4, 0.5, 0.4, 0.5, 100)
    left = view.noise + view.explained * (1 - view.shared)
    assert theory.fit(view, 1e6).risk == pytest.approx(left * 99 / 95, rel=1e-4)


def test_twins_are_two_encoders_trained_at_once():
    """Both encoders and heads under the covariance form of the contrastive loss, by definition."""
    view, r = View(16, 4, 0.45, 0.5, 0.55, 100), 0.9
    p, a, n = view.inputs, view.aligned, view.labels
    common = math.sqrt(view.shared * view.explained / r)
    own = math.sqrt((1 - view.shared) * view.explained)
    rest = math.sqrt(1 - common**2 - 2 * own**2)
    cross = r * np.eye(a, p).T @ np.eye(a, p)

    def run(seed, strengths):
        rng = np.random.default_rng(seed)
        c, e = rng.standard_normal((n, a)), rng.standard_normal((2, n, a))
        u = rng.standard_normal((2, n, p - a))
        label, private = rng.standard_normal(a), rng.standard_normal((2, p - a))
        label /= np.linalg.norm(label)
        private /= np.linalg.norm(private, axis=1, keepdims=True)
        y = common * c @ label + own * np.einsum("mnj,mj->n", u, private)
        y += rest * rng.standard_normal(n)
        x = np.concatenate([math.sqrt(r) * c + math.sqrt(1 - r) * e, u], axis=2)
        true = [np.concatenate([common * math.sqrt(r) * label, own * v]) for v in private]
        second = np.einsum("mni,mnj->mij", x, x) / n
        moment = np.einsum("mni,n->mi", x, y) / n

        def loss(flat, strength):
            w, v = flat[: 2 * a * p].reshape(2, a, p), flat[2 * a * p :].reshape(2, a)
            f = np.einsum("map,ma->mp", w, v)
            error = np.einsum("mij,mj->mi", second, f) - moment
            g = w @ w.transpose(0, 2, 1)
            align = np.sum(g[0] * g[1]) - 2 * np.trace(w[0] @ cross @ w[1].T)
            slope = 2 * (g[::-1] @ w - np.stack([w[1] @ cross.T, w[0] @ cross]))
            slope = 2 * v[:, :, None] * error[:, None] + strength * slope
            value = np.sum(f * (error - moment)) + strength * align
            head = 2 * np.einsum("map,mp->ma", w, error)
            return value, np.concatenate([slope.ravel(), head.ravel()])

        start = np.concatenate([np.tile(np.eye(a, p).ravel(), 2), 0.1 * rng.standard_normal(2 * a)])
        risks = []
        for strength in strengths:
            found = optimize.minimize(
                loss, start, (strength,), jac=True, method="L-BFGS-B", options={"maxiter": 5000}
            ).x
            w, v = found[: 2 * a * p].reshape(2, a, p), found[2 * a * p :].reshape(2, a)
            f = np.einsum("map,ma->mp", w, v)
            risks.append(view.noise + np.mean(np.sum((f - true) ** 2, axis=1)))
        return risks

    strengths = np.array([0.1, 0.4, 2])
    measured = np.mean([run(seed, strengths) for seed in range(40)], axis=0)
    predicted = [theory.fit(view, h, twins=True).risk for h in strengths * r**2]
    np.testing.assert_allclose(measured, predicted, rtol=0.02)
    alone = theory.fit(view, 0.4 * r**2).risk
    assert predicted[1] < 0.99 * alone  # what was measured tells twins from a fixed partner


@pytest.mark.parametrize("twins", [False, True])
def test_best_is_least(twins):
    for rho in (0.1, 0.3, 0.9):
        view = View(16, 4, 0.5, rho, 0.5, 60)
        best = theory.best(view, twins)
        risks = [theory.fit(view, h, twins).risk for h in (0, *np.geomspace(0.01, 10, 7))]
        assert best.risk <= min(risks) * (1 + 1e-6)
        assert (best.penalty == 0) == (rho <= 4 / 16)
        if best.penalty:
            steps = [theory.fit(view, best.penalty * f, twins).risk for f in (0.9, 1.1)]
            assert min(steps) > best.risk


def test_all_of_alignment_can_be_best_where_a_little_is_not():
    """ρ below a / p, but fewer labels than noise asks for: fewer directions are what counts."""
    view = View(16, 4, 0.2, 0.1, 0.8, 40)
    alone = theory.fit(view, 0).risk
    assert theory.fit(view, 0.01).risk > alone
    assert theory.best(view).penalty == math.inf
    assert theory.best(view).risk < alone
    assert 0.9 * 0.2 / 0.8 < 12 / (40 - 17)
    assert theory.best(view._replace(labels=400)).penalty == 0


@pytest.mark.parametrize("twins", [False, True])
@pytest.mark.parametrize(("labels", "noise"), [(30, 0.5), (100, 0.1), (1000, 0.9)])
def test_a_little_helps_where_aligned_directions_are_richer(labels, noise, twins):
    for rho, sign in ((0.22, 1), (0.28, -1)):
        view = View(16, 4, 1 - noise, rho, noise, labels)
        alone, little = (theory.fit(view, h, twins).risk for h in (0, 1e-4))
        assert sign * (little - alone) > 0


@pytest.mark.parametrize(("signal", "nuisance"), [(0.9, 0.5), (0.5, 0.9)])
def test_alignment_alone_keeps_signal_that_correlates_more_than_nuisance(signal, nuisance):
    """No labels, width 2: the leading canonical directions, whole or not at all."""
    cross = np.diag([signal, signal, nuisance, nuisance, nuisance, 0, 0, 0])
    rng = np.random.default_rng(0)

    def loss(flat):
        w = flat.reshape(2, 2, 8)
        g = w @ w.transpose(0, 2, 1)
        value = np.sum(g[0] * g[1]) - 2 * np.trace(w[0] @ cross @ w[1].T)
        return value, 2 * (g[::-1] @ w - np.stack([w[1] @ cross.T, w[0] @ cross])).ravel()

    found = optimize.minimize(loss, rng.standard_normal(32), jac=True, method="L-BFGS-B").x
    basis = np.linalg.qr(found.reshape(2, 2, 8)[0].T)[0]
    captured = np.sum(basis[:2] ** 2) / 2
    assert captured == pytest.approx(float(signal > nuisance), abs=1e-3)
    # the risk of least squares on two directions
    view = View(8, 2, 0.5, 0.6 * captured, 0.5, 50)
    exact = (0.5 + 0.5 * (1 - 0.6 * captured)) * 49 / 47
    assert theory.fit(view, 1e5).risk == pytest.approx(exact, rel=1e-3)


def test_best_of_all_that_is_shared_is_all():
    best = theory.best(View(16, 4, 0.5, 1.0, 0.5, 60))
    assert best.penalty == math.inf
    assert best.risk == pytest.approx(0.5 * 59 / 55, rel=1e-3)


def test_many_labels():
    view = View(16, 4, 0.5, 0.6, 0.5, 1e5)
    penalty, gain = theory.many_labels(view)
    best = theory.best(view)
    assert best.penalty == pytest.approx(penalty, rel=0.01)
    assert theory.fit(view, 0).risk - best.risk == pytest.approx(gain, rel=0.01)
    assert theory.many_labels(view, twins=True) == pytest.approx((penalty / 0.6, gain))
    assert theory.best(view, twins=True).penalty == pytest.approx(penalty / 0.6, rel=0.01)
    assert theory.many_labels(view._replace(shared=0.25)) == (0, 0)
    # a hundred times the labels: a hundredth of the strength, a ten-thousandth of the gain
    assert theory.many_labels(view._replace(labels=1e7)) == pytest.approx(
        (penalty / 100, gain / 1e4), rel=1e-9
    )


def test_a_better_partner_captures_more():
    """Shared part of a partner's least squares against the true direction."""
    common, inputs, signal, noise, labels = 6, 12, 0.3, 0.5, 80
    view = View(inputs, common, 0.5, signal / 0.5, noise, labels)
    cos2 = []
    for seed in range(300):
        b, second, cross, _ = draw(view, seed)
        w = np.linalg.solve(second, cross)[:common]
        cos2.append((w @ b[:common]) ** 2 / (w @ w) / (b[:common] @ b[:common]))
    risk = theory.fit(view, 0).risk
    assert theory.captured(1, common, signal, risk, labels) == pytest.approx(
        np.mean(cos2), abs=0.02
    )
    by_labels = [theory.captured(2, common, signal, risk, n) for n in (40, 80, 800)]
    assert by_labels == sorted(by_labels)
    assert theory.captured(common, common, signal, risk, 40) == 1


@pytest.mark.parametrize(("aligned", "temperature"), [(4, 0.2), (2, 0.2), (4, 1.0), (8, 0.2)])
def test_turning_one_direction_costs_info_nce_what_is_said(aligned, temperature):
    """Unit vectors over `aligned` common directions, one of them turned, its length free."""
    rng, r, n = np.random.default_rng(0), 0.9, 64

    def rows(c):
        return math.sqrt(r) * c + math.sqrt(1 - r) * rng.standard_normal(c.shape)

    contrastive = jax.jit(lambda a, b: info_nce(a, b, temperature))
    batches = []
    for _ in range(20):
        c = rng.standard_normal((n, aligned))
        batches.append((rows(c), rows(c), rng.standard_normal(n)))

    def loss(turn, length):
        found = []
        for first, second, private in batches:
            turned = length * (math.cos(turn) * first[:, 0] + math.sin(turn) * private)
            first = np.column_stack([turned, first[:, 1:]])
            a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (first, second))
            found.append(contrastive(a, b))
        return float(np.mean(found))

    for turn in (0.6, 1.2):
        least = optimize.minimize_scalar(
            lambda length, turn=turn: loss(turn, length), bounds=(0, 1.2), options={"maxiter": 8}
        )
        cost = (least.fun - loss(0, 1)) / math.sin(turn) ** 2
        said = theory.of_info_nce(1, temperature, aligned, r)
        assert cost == pytest.approx(said, rel=0.3)


def test_an_absolute_loss_bends_like_a_square():
    rng, s, step = np.random.default_rng(0), 0.7, 0.2
    e = s * rng.standard_normal(1_000_000)
    bend = (np.abs(e - step).mean() - np.abs(e).mean()) / step**2
    one = theory.of_info_nce(1, 0.2, 4, 0.9)
    assert theory.of_info_nce(1, 0.2, 4, 0.9, s) * bend == pytest.approx(one, rel=0.03)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"aligned": 16}, "aligned"),
        ({"shared": 1.2}, "shared"),
        ({"noise": 0.0}, "noise"),
        ({"labels": 17}, "labels"),
    ],
)
def test_what_the_model_does_not_cover(changes, word):
    view = View(16, 4, 0.5, 0.6, 0.5, 100)._replace(**changes)
    for ask in (theory.best, lambda v: theory.fit(v, 1.0)):
        with pytest.raises(ValueError, match=word):
            ask(view)
