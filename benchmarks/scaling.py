"""How time and memory of a sweep grow with its runs, its steps, its batch and its modalities.

python benchmarks/scaling.py [--quick] [--json=FILE]      all of it, every line in its own process
python benchmarks/scaling.py AXIS VALUE                   one line, as JSON

The sweep is the real one, `sweep.run`, from config to results on disk: training, measuring and
tables. Compilation is timed apart. The axes:

    runs        1 to 4,096 of 100 steps; up to 8 strengths, the rest seeds
    steps       100 to 1,600 of 64 runs
    batch       64 to 1,024 examples, 16 runs of 100 steps with 2,048 labels
    modalities  1 to 6 views of the digits, 16 runs of 100 steps

Below each axis stands the fitted exponent p of time and of memory: they grow as axis^p. Time in the
number of runs should reach 1 once blocks are full; memory should stop growing there, and in the
number of steps.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import psutil
from ml_collections import ConfigDict

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout need not be installed

from redalign_jax import sweep  # noqa: E402
from redalign_jax.config import base  # noqa: E402
from redalign_jax.data.sources import mfeat, redundancy_bits  # noqa: E402
from redalign_jax.runtime import devices  # noqa: E402
from redalign_jax.sweep import block  # noqa: E402

VIEWS = ("kar", "mor", "fac", "fou", "pix", "zer")
STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.6, 1.0, 2.0, 4.0)


@contextmanager
def resident_peak() -> Iterator[list[int]]:
    """A list of one number, the largest resident set of this process so far, in bytes.

    Sampled every 5 ms, so that it can be set back after compiling, which a maximum kept by the
    system cannot everywhere.
    """
    process, peak, done = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


AXES = {
    "runs": (1, 8, 64, 512, 4096),
    "steps": (100, 200, 400, 800, 1600),
    "batch": (64, 128, 256, 512, 1024),
    "modalities": (1, 2, 3, 4, 6),
}
FULL = {"runs": 64}  # the fit starts where blocks are full


def experiment(axis: str, value: int) -> ConfigDict:
    """The sweep of one line."""
    many = {"runs": value, "steps": 64}.get(axis, 16)
    if axis == "modalities":
        config = base(mfeat.defaults())
        config.data.modalities = (",".join(VIEWS[:value]),)
        config.data.labels = (1000,)
    else:
        config = base(redundancy_bits.defaults())
        config.data.redundancy = (4,)
    config.train.steps, config.train.evaluations = value if axis == "steps" else 100, 1
    if axis == "batch":
        config.data.labels, config.train.batch = (2048,), value
    config.hyper.strength = STRENGTHS[: min(many, len(STRENGTHS))]
    config.sweep.seeds = -(-many // len(config.hyper.strength))
    return config


def measure(axis: str, value: int) -> dict[str, float]:
    """Sweeps at one point of an axis.

    Returns:
      the axis's value under its name; seconds without compiling (the shortest of three sweeps where
      one is too short to time); peak_bytes, the largest resident set while sweeping, compiling
      excepted, above that of the process before the sweep; compile_seconds; block, runs of a block.
    """
    config = experiment(axis, value)
    fit, programs, compiling, left = block.fit, [], [], []

    def fit_once(*args: object) -> object:
        began = time.perf_counter()
        programs.append(programs[-1] if programs else fit(*args))
        compiling.append(time.perf_counter() - began)
        left.append(process.memory_info().rss)
        peak[0] = 0
        return programs[-1]

    devices.prepare()
    devices.mesh()
    process, seconds = psutil.Process(), []
    idle = process.memory_info().rss
    with mock.patch.object(block, "fit", fit_once), resident_peak() as peak:
        for _ in range(1 if axis == "runs" and value > 64 else 3):
            with tempfile.TemporaryDirectory() as folder:
                began = time.perf_counter()
                sweep.run(config, folder, progress=False)
                seconds.append(time.perf_counter() - began - compiling[-1])
    return {
        axis: value,
        "seconds": min(seconds),
        "peak_bytes": peak[0] - idle,
        "left_by_compiling_bytes": left[0] - idle,
        "compile_seconds": compiling[0],
        "block": programs[0].runs,
    }


def process(axis: str, value: int) -> dict[str, float]:
    """`measure` in a fresh process without the compilation cache."""
    done = subprocess.run(
        [sys.executable, __file__, axis, str(value)],
        env={**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(done.stdout)


def exponent(rows: list[dict[str, float]], axis: str, key: str = "seconds") -> float | None:
    """The slope of log `key` over log `axis`."""
    rows = [r for r in rows if r[axis] >= FULL.get(axis, 0)]
    if len(rows) < 2:
        return None
    x, y = (np.log([r[name] for r in rows]) for name in (axis, key))
    return float(np.polyfit(x, y, 1)[0])


def report(rows: list[dict[str, float]], axis: str) -> None:
    """The table of one axis."""
    print(f"\n{axis:>10} {'seconds':>9} {'peak MB':>9} {'of compiling':>13} {'block':>6}")
    for r in rows:
        peak, left = r["peak_bytes"] / 1e6, r["left_by_compiling_bytes"] / 1e6
        print(f"{r[axis]:10,} {r['seconds']:9.2f} {peak:9,.0f} {left:13,.0f} {r['block']:6}")
    slopes = [exponent(rows, axis, key) for key in ("seconds", "peak_bytes")]
    if None not in slopes:
        start = f" from {FULL[axis]} on" if axis in FULL else ""
        print(f"time grows as {axis}^{slopes[0]:.2f}, memory as {axis}^{slopes[1]:.2f}{start}")


def main() -> None:
    """Parses flags, measures, prints, and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("axis", nargs="?", choices=list(AXES), help="of one line")
    parser.add_argument("value", nargs="?", type=int, help="of one line")
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    flags = parser.parse_args()
    if flags.axis and flags.value:
        logging.disable()
        print(json.dumps(measure(flags.axis, flags.value)))
        return
    found = {}
    for axis, values in AXES.items():
        if flags.axis in (None, axis):
            found[axis] = [process(axis, v) for v in (values[:2] if flags.quick else values)]
            report(found[axis], axis)
    if flags.json:
        flags.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
