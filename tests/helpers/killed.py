"""Runs a small sweep again and again, killed at random moments, until it ends.

python -m helpers.killed WORKDIR KILLS SEED

Forks from a process that has imported everything but not started JAX, so that a life costs a
second. Every finished segment is written to WORKDIR.log, as is the number of kills.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from helpers.small import experiment

from redalign_jax import sweep
from redalign_jax.sweep import block


def config(**changes):
    """Six blocks of one run per device, saved after each of 20 segments."""
    return experiment(**{"sweep__runs_per_device": 1, "sweep__checkpoint_seconds": 0.0, **changes})


def _live(folder: Path, log: Path) -> None:
    advance = block.advance

    def logged(part, inputs, carry):
        after = advance(part, inputs, carry)
        with log.open("a") as file:
            file.write(json.dumps([int(part.places[0, 0]), after.step]) + "\n")
        return after

    block.advance = logged
    long = config(train__steps=80, train__evaluations=80)  # longer than all lives together
    sweep.run(long, folder, progress=False)
    os._exit(0)


def main(folder: Path, kills: int, seed: int) -> None:
    """Kills `kills` lives at random moments, every other one after training began; then waits."""
    rng = random.Random(seed)
    log = Path(f"{folder}.log")
    killed = 0
    while True:
        before = log.stat().st_size if log.exists() else 0
        child = os.fork()
        if not child:
            try:
                _live(folder, log)
            finally:
                os._exit(1)
        wait = rng.uniform(0, 2)
        if killed % 2:
            wait = rng.uniform(0, 0.3)
            while (log.stat().st_size if log.exists() else 0) == before:
                if os.waitpid(child, os.WNOHANG)[0]:
                    sys.exit("a life ended by itself before it trained")
                time.sleep(0.002)
        time.sleep(wait)
        if killed < kills:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            killed += 1
            continue
        print(json.dumps({"killed": killed, "status": os.WEXITSTATUS(status)}))
        return


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
