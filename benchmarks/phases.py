"""Where the time of a whole sweep goes: `--job=sweep` of four experiments, phase by phase.

python benchmarks/phases.py [--quick] [--only=quickstart,mfeat,rows,cnn] [--json=FILE]

  quickstart  configs/redundancy.py
  mfeat       one pair of views, configs/mfeat.py
  rows        50,000 rows of 64 and 32 numbers, from a file
  cnn         two modalities of 28×28 pixels

Each is one command in a process of its own, nothing cached on disk. The clock of a phase runs while
its function does, less what runs inside it: phases add up to the command, and `rest` is what no
phase names. Functions return when XLA has been asked, not when it is done: `train` waits for the
curves of a segment, `measure` for the numbers. `exact` is the wait for decompositions that training
did not cover.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PHASES = ("import", "load", "exact", "compile", "train", "measure", "tables", "report", "rest")
SMALL = ["--config.train.steps=40", "--config.sweep.seeds=2"]


def commands(folder: Path, quick: bool) -> dict[str, list[str]]:
    """Arguments of every experiment; its data are written into `folder`."""
    rng = np.random.default_rng(0)
    n = 2_000 if quick else 50_000
    y = rng.integers(0, 10, n)
    x = (rng.standard_normal((n, size), np.float32) + y[:, None] % size for size in (64, 32))
    np.savez(folder / "rows.npz", **dict(zip("ab", x, strict=True)), labels=y)
    images = {name: rng.integers(0, 256, (1_000, 28, 28), np.uint8) for name in "ab"}
    np.savez(folder / "cnn.npz", **images, labels=np.arange(1_000) % 10)
    found = {
        "quickstart": ["--config=redundancy"],
        "mfeat": ["--config=mfeat", "--config.data.modalities=kar,pix"],
        "rows": ["--config=arrays", f"--config.data.path={folder / 'rows.npz'}"],
        "cnn": [
            *("--config=arrays", f"--config.data.path={folder / 'cnn.npz'}"),
            *("--config.encoder.kind=cnn", "--config.encoder.hidden_sizes=(16,32)"),
            *("--config.hyper.strength=0,1", "--config.train.steps=100", "--config.sweep.seeds=2"),
        ],
    }
    return {name: [*own, *(SMALL if quick else [])] for name, own in found.items()}


def timed(arguments: list[str]) -> dict[str, float]:
    """Runs a command in this process; seconds by phase."""
    began = time.perf_counter()
    sys.argv = ["redalign", *arguments]
    from redalign_jax import __main__, report
    from redalign_jax.runtime import results
    from redalign_jax.sweep import block, grid, known, shards

    spent = dict.fromkeys(PHASES, 0.0)
    spent["import"] = time.perf_counter() - began
    inside = [0.0]  # seconds of the phases within the one that runs, innermost last

    def clocked(module: Any, name: str, phase: str) -> None:
        function = getattr(module, name)

        def run(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            inside.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                seconds = time.perf_counter() - start
                spent[phase] += seconds - inside.pop()
                inside[-1] += seconds

        setattr(module, name, run)

    for module, name, phase in (
        (grid, "groups", "load"),
        (block, "load", "load"),
        (known, "by_row", "exact"),
        (block, "compiled", "compile"),
        (block, "start", "train"),
        (block, "advance", "train"),
        (block, "evaluated", "measure"),
        (block, "finish", "tables"),
        (shards, "add", "tables"),
        (shards, "merge", "tables"),
        (results, "read", "tables"),
        (report, "make", "report"),
    ):
        clocked(module, name, phase)
    if __main__.main():
        raise SystemExit("the command failed")
    total = time.perf_counter() - began
    spent["rest"] = total - spent["import"] - inside[0]
    return spent | {"all": total}


def main() -> None:
    """Measures one experiment (`--run`), or all of them in processes of their own."""
    if sys.argv[1:2] == ["--run"]:
        out, *arguments = sys.argv[2:]
        Path(out).write_text(json.dumps(timed(arguments)))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few steps, to see that it runs")
    parser.add_argument("--only", default="quickstart,mfeat,rows,cnn")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    flags = parser.parse_args()
    found = {}
    print("| | " + " | ".join((*PHASES, "all")) + " |")
    print("| --- " * (len(PHASES) + 2) + "|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        every = commands(folder, flags.quick)
        own = {name: v for name, v in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
        for experiment in flags.only.split(","):
            out, cache = folder / "spent.json", folder / f"cache_{experiment}"
            where = [f"--workdir={folder / experiment}"]
            subprocess.run(
                [sys.executable, __file__, "--run", out, *every[experiment], *where],
                env=own | {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(ROOT)},
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=True,
            )
            found[experiment] = json.loads(out.read_text())
            row = [f"{found[experiment][phase]:.1f}" for phase in (*PHASES, "all")]
            print(f"| {experiment} | " + " | ".join(row) + " |", flush=True)
    if flags.json:
        flags.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
