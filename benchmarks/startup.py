"""Seconds from the command to the first training step, cold and with the compilation cache.

python benchmarks/startup.py [--quick] [--json=FILE]

The command is the quickstart's sweep, `configs/redundancy.py`, in a process of its own each time.
Its first step comes right after the workdir says how the grid is cut, which is what is waited for;
then it is killed. Cold: an empty compilation cache. Beside it, the part that is spent on imports.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


def seconds_to_first_step(cache: Path) -> float:
    """Starts the sweep, waits for its first block, kills it."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        began = time.perf_counter()
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "redalign_jax",
                "--job=sweep",
                "--config=configs/redundancy.py",
                f"--workdir={out}",
            ],
            cwd=ROOT,
            env={**os.environ, "XDG_CACHE_HOME": str(cache)},
            stderr=subprocess.DEVNULL,
        )
        while not (out / "blocks" / "plan.json").exists():
            if process.poll() is not None:
                raise SystemExit("the sweep ended before its first step")
            time.sleep(0.005)
        seconds = time.perf_counter() - began
        process.kill()
        process.wait()
        return seconds


def seconds_to_import() -> float:
    """The same process up to its flags."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import redalign_jax.__main__"], cwd=ROOT, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Parses flags, measures, prints, and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="once each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here")
    flags = parser.parse_args()
    rounds = 1 if flags.quick else 5
    found: dict[str, list[float]] = {"imports": [], "cold": [], "cached": []}
    seconds_to_import()  # byte code and the disk's cache
    print(f"load {os.getloadavg()[0]:.1f}")
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            found["imports"].append(seconds_to_import())
            found["cold"].append(seconds_to_first_step(Path(cache)))
            found["cached"].append(seconds_to_first_step(Path(cache)))
    for name, values in found.items():
        print(f"{name:8} {np.median(values):6.2f} s ({min(values):.2f}–{max(values):.2f})")
    if flags.json:
        flags.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
