"""Runs a small sweep in several processes on this machine.

python -m helpers.joined WORKDIR PROCESSES DEVICES_EACH [HOW [WHERE]]

18 runs, which four devices cannot share evenly. HOW and WHERE tell what happens to the last
process: at the end of segment WHERE it is told to stop (`stop`), an error of Python's is raised
(`error`), the same while the others are inside a collective (`inside`), or it is killed (`kill`,
or the first process, `behead`);
in place of WHERE `first` is before the sweep and `load` where its data are read. `apart`, it gets a
workdir of its own; `late`, it comes WHERE seconds late. Prints the exit status of every process.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import time
import traceback
from functools import partial
from pathlib import Path

os.environ["JAX_NUM_CPU_DEVICES"] = sys.argv[3]  # read when JAX is imported

import numpy as np
from helpers.small import experiment
from jax.experimental import multihost_utils

from redalign_jax import sweep
from redalign_jax.runtime import coordination, preemption, workdir
from redalign_jax.sweep import block


def config(**changes):
    """Blocks of one run per device."""
    return experiment(
        sweep__seeds=3, sweep__runs_per_device=1, train__steps=10, train__evaluations=10, **changes
    )


def _port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def _happen(how: str, folder: Path, index: int, last: bool) -> None:
    if how == "inside" and not last:
        multihost_utils.process_allgather(np.zeros(1))
    if last if how in ("error", "inside", "stop", "kill") else index == 0:
        (folder.parent / "happened").write_text(str(time.time()))
    if how in ("error", "inside") and last:
        raise ValueError("the last process\nhas a bug")
    if how == "stop" and last:
        os.kill(os.getpid(), signal.SIGTERM)
    if (how == "kill" and last) or (how == "behead" and index == 0):
        os.kill(os.getpid(), signal.SIGKILL)


def _timed(name: str) -> None:
    """Prints how long every collective took."""
    collective = getattr(multihost_utils, name)

    def timed(*args, **kwargs):
        began = time.monotonic()
        found = collective(*args, **kwargs)
        print(f"collective {time.monotonic() - began:.3f}", file=sys.stderr)
        return found

    setattr(multihost_utils, name, timed)


def _sweep(folder: Path, index: int, last: bool, how: str, where: str) -> None:
    happen = partial(_happen, how, folder, index, last)
    advance, load, trained = block.advance, block.load, 0
    workdir._seen = partial(workdir._seen, seconds=1)

    def watched(part, inputs, carry):
        nonlocal trained
        after, trained = advance(part, inputs, carry), trained + 1
        if str(trained) == where:
            happen()
        return after

    def loaded(part):
        if where == "load":
            happen()
        return load(part)

    block.advance, block.load = watched, loaded
    if where == "first":
        happen()
    if how == "late" and last:
        time.sleep(float(where))
    if how == "late" and not last:
        _timed("process_allgather")
        _timed("broadcast_one_to_all")
    own = folder / "apart" if how == "apart" and last else folder
    sweep.run(config(), own, progress=False)


def _live(folder: Path, address: str, count: int, index: int, how: tuple[str, str]) -> int:
    if how[0] == "kill":
        coordination.HEARTBEAT = 5
    with coordination.joined(address, count, index) if count > 1 else contextlib.nullcontext():
        try:
            _sweep(folder, index, index == count - 1, *how)
        except preemption.Stopped:
            return preemption.STATUS
    return 0


def main(folder: Path, count: int, how: tuple[str, str]) -> None:
    """Forks the processes and waits for them."""
    address = f"localhost:{_port()}"
    children = []
    for index in range(count):
        child = os.fork()
        if not child:
            try:
                os._exit(_live(folder, address, count, index, how))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(json.dumps(statuses))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), (*sys.argv[4:], "", "")[:2])
