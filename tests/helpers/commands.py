"""Whole commands, as a user types them."""

import subprocess
import sys

from helpers import forked
from helpers.forked import ROOT

SMALL = [
    "--config.train.steps=4",
    "--config.train.evaluations=2",
    "--config.train.batch=8",
    "--config.sweep.seeds=2",
    "--config.encoder.hidden_sizes=(4,)",
    "--config.encoder.embed_dim=(4,)",
    "--config.measure.examples=12",
    "--config.measure.neighbours=3",
    "--config.hyper.strength=0,1",
    "--config.sweep.balanced=False",
]


def python(*arguments, **how):
    """A process of its own, with all that Python does before a module runs."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        **how,
    )


def command(*arguments, **how):
    """`python -m redalign_jax` with these arguments; `how` as of `forked.run`."""
    return forked.run("redalign_jax", *arguments, **how)


def sweep(name, out, **fields):
    """The command of configs/NAME.py with tiny settings; `fields` are those of `data`."""
    data = [f"--config.data.{field}={value}" for field, value in fields.items()]
    return command("--job=sweep", f"--config={name}", f"--workdir={out}", *data, *SMALL)


def refused(done, *words):
    """Asserts exit status 2 and one line with all the words."""
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line]
    for word in words:
        assert str(word) in line
