"""How long an exact decomposition takes, against general-purpose solvers and against dit.

python benchmarks/pid.py [--json=FILE]

Every row is one whole call, from a numpy table to numbers. redalign is compiled before the first
round, and certifies each answer to 1e-10. Rows of one size take turns, in alternating order, so
that a drift of the machine's speed meets all alike; ratios are taken within a round. Small tables
are decomposed 10 or 100 times per round, so that the clock can tell.

  Clarabel        the vectorised exponential-cone model of tests/pid/broja_reference.py in cvxpy
  Clarabel alone  the solver's own clock: without building and transforming the model
  SCS             the model as one writes it down: a variable per y, a constraint per marginal
  dit             dit.pid.PID_BROJA

The peers' answers are compared with redalign's: the column `off by` is |difference of I*|, nats,
and for redalign the proven gap. Needs pip install -e '.[benchmark,test]'.
"""

import argparse
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import cvxpy as cp
import dit
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "pid")]  # a checkout need not be installed

from broja_reference import random_table, union_information, union_problem  # noqa: E402

from benchmarks.timing import Contestant, Rates, take_turns  # noqa: E402
from redalign_jax import pid  # noqa: E402
from redalign_jax.data.sources import redundancy_bits  # noqa: E402

warnings.filterwarnings("ignore", module="cvxpy|dit")


def union_redalign(p: np.ndarray) -> float:
    """I* = U1 + I(X2;Y) = U1 + U2 + R, nats."""
    d = pid.decompose(p)
    return float(d.redundancy + d.unique.sum())


def union_scs(p: np.ndarray) -> float:
    """I* from the model written down element by element."""
    n1, n2, ny = p.shape
    q = [cp.Variable((n1, n2), nonneg=True) for _ in range(ny)]
    constraints = []
    for y in range(ny):
        constraints += [cp.sum(q[y][i, :]) == p[i, :, y].sum() for i in range(n1)]
        constraints += [cp.sum(q[y][:, j]) == p[:, j, y].sum() for j in range(n2)]
    cells = sum(q)
    objective = sum(cp.sum(cp.rel_entr(q[y], cells)) for y in range(ny))
    problem = cp.Problem(cp.Minimize(objective), constraints)
    problem.solve(solver=cp.SCS, max_iters=50_000)
    p_y = p.sum((0, 1))
    return float(problem.value - np.sum(p_y * np.log(p_y)))


def union_dit(p: np.ndarray) -> float:
    """I* from dit, which counts in bits."""
    outcomes = [f"{i}{j}{y}" for i, j, y in np.ndindex(p.shape)]
    found = dit.pid.PID_BROJA(dit.Distribution(outcomes, p.ravel()), [[0], [1]], [2])
    return float(sum(found[node] for node in (((0,), (1,)), ((0,),), ((1,),))) * np.log(2))


def table(
    title: str, p: np.ndarray, peers: dict[str, Callable], rounds: int, calls: int = 1
) -> tuple[dict[str, Rates], float]:
    """Times redalign (`calls` per round) and its peers (one); returns the rates and the gap."""
    gap = float(pid.decompose(p).gap)
    union = union_redalign(p)
    off = {"redalign": gap} | {name: abs(f(p) - union) for name, f in peers.items()}
    contestants = {"redalign": Contestant(lambda: [pid.decompose(p) for _ in range(calls)], calls)}
    contestants |= {name: Contestant(lambda f=f: f(p), 1) for name, f in peers.items()}
    rates = take_turns(contestants, rounds)
    print(f"\n{title}\n{'':16}{'seconds':>28}{'redalign is × faster':>26}{'off by':>10}")
    for name, rate in rates.items():
        times = spread(rates["redalign"].wall / rate.wall) if name != "redalign" else ""
        print(f"{name:16}{spread(1 / rate.wall):>28}{times:>26}{off[name]:10.0e}")
    return rates, gap


def spread(x: np.ndarray) -> str:
    """Median (smallest–largest)."""
    middle, low, high = (format(f(x), ".3g") for f in (np.median, np.min, np.max))
    return f"{middle} ({low}–{high})"


def clarabel_alone(p: np.ndarray, rounds: int) -> np.ndarray:
    """Seconds by the solver's own clock."""
    seconds = []
    for _ in range(rounds):
        problem = union_problem(p)
        problem.solve(solver=cp.CLARABEL)
        seconds.append(problem.solver_stats.solve_time)
    return np.array(seconds)


def main() -> None:
    """Measures, prints, and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here")
    flags = parser.parse_args()
    if flags.json and not flags.json.resolve().parent.is_dir():
        parser.error(f"--json: no folder {flags.json.resolve().parent}")
    machine = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: version(name) for name in ("jax", "jaxlib", "cvxpy", "clarabel", "scs", "dit")},
    }
    print(", ".join(f"{name} {value}" for name, value in machine.items()))

    rng = np.random.default_rng(0)
    p = random_table(rng, (20, 20, 4), 1.0)
    peers = {"Clarabel": union_information, "SCS": union_scs}
    medium, _ = table("20×20×4, Dirichlet(1)", p, peers, rounds=7, calls=10)
    alone = clarabel_alone(p, rounds=7)
    ratio_alone = alone * np.median(medium["redalign"].wall)
    print(f"{'Clarabel alone':16}{spread(alone):>28}{spread(ratio_alone):>26}")
    p = random_table(rng, (2, 2, 2), 1.0)
    small, _ = table("2×2×2, Dirichlet(1)", p, {"dit": union_dit}, rounds=7, calls=100)
    large = {}
    for n, rounds in ((64, 7), (256, 3)):
        p = random_table(rng, (n, n, 4), 1.0)
        large[n] = table(f"{n}×{n}×4, Dirichlet(1)", p, {}, rounds)
    batch = np.stack([random_table(rng, (8, 8, 8), 1.0) for _ in range(500)])
    pid.decompose(batch)

    def timed(p: np.ndarray) -> tuple[float, float]:
        began = time.perf_counter()
        gap = float(np.max(pid.decompose(p).gap))
        return time.perf_counter() - began, gap

    print(f"\n500 tables 8×8×8 in one call: {timed(batch)[0]:.2f} s")
    print("\nexact joints of redundancy_bits, four seeds in one call")
    joints = []
    for r in range(9):
        p = np.stack([redundancy_bits.joint(redundancy_bits.process(r, 0.05, s)) for s in range(4)])
        pid.decompose(p)
        seconds, gap = timed(p)
        size = "×".join(map(str, p.shape[1:]))
        joints.append({"redundancy": r, "size": size, "seconds": seconds, "gap": gap})
        print(f"R = {r}  {size:11} {seconds:8.3f} s   largest gap {gap:.0e}")

    def ratio(rates: dict[str, Rates], name: str) -> float:
        return float(np.median(rates["redalign"].wall / rates[name].wall))

    if flags.json:
        summary = {
            "ratio_clarabel": ratio(medium, "Clarabel"),
            "ratio_clarabel_alone": float(np.median(ratio_alone)),
            "ratio_scs": ratio(medium, "SCS"),
            "ratio_dit": ratio(small, "dit"),
            "seconds_64": (1 / large[64][0]["redalign"].wall).tolist(),
            "seconds_256": (1 / large[256][0]["redalign"].wall).tolist(),
            "gap_64": large[64][1],
            "gap_256": large[256][1],
            "seconds_20": {name: (1 / rate.wall).tolist() for name, rate in medium.items()},
            "seconds_2": {name: (1 / rate.wall).tolist() for name, rate in small.items()},
            "joints": joints,
            "machine": machine,
        }
        flags.json.write_text(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main()
