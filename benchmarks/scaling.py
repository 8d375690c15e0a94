"""What a sweep of N runs takes: `python benchmarks/scaling.py N` in a process of its own.

The sweep is the real one, `sweep.run`, from config to results on disk: N runs of 100 steps with
data, training, measuring and tables. Compilation is timed apart.
"""

import json
import logging
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout need not be installed

from redalign_jax import devices, sweep  # noqa: E402
from redalign_jax.config import base  # noqa: E402
from redalign_jax.data import redundancy_bits  # noqa: E402

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


def measure(runs: int) -> dict[str, float]:
    """Sweeps `runs` runs: at most 8 strengths, the rest seeds.

    Returns:
      runs; seconds without compiling (the shortest of three sweeps up to 64 runs, where one is too
      short to time); peak_bytes, the largest resident set while sweeping, compiling excepted,
      above that of the process before the sweep; compile_seconds; block, runs of a block.
    """
    config = base(redundancy_bits.defaults())
    config.data.redundancy = (4,)
    config.train.steps, config.train.evaluations = 100, 1
    config.hyper.strength = STRENGTHS[: min(runs, len(STRENGTHS))]
    config.sweep.seeds = -(-runs // len(config.hyper.strength))
    fit, programs, compiling, left = sweep.fit, [], [], []

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
    with mock.patch.object(sweep, "fit", fit_once), resident_peak() as peak:
        for _ in range(3 if runs <= 64 else 1):
            with tempfile.TemporaryDirectory() as folder:
                began = time.perf_counter()
                sweep.run(config, folder, progress=False)
                seconds.append(time.perf_counter() - began - compiling[-1])
    return {
        "runs": runs,
        "seconds": min(seconds),
        "peak_bytes": peak[0] - idle,
        "left_by_compiling_bytes": left[0] - idle,
        "compile_seconds": compiling[0],
        "block": int(np.prod(programs[0].shape)),
    }


if __name__ == "__main__":
    logging.disable()
    print(json.dumps(measure(int(sys.argv[1]))))
