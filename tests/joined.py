"""Runs a small sweep in several processes on this machine.

python tests/joined.py WORKDIR PROCESSES DEVICES_EACH [STOP | apart]

18 runs, which four devices cannot share evenly. With STOP, the last process gets SIGTERM at the end
of that segment; `apart`, it gets a workdir of its own. Prints the exit status of every process.
"""

import json
import os
import signal
import socket
import sys
import traceback
from functools import partial
from pathlib import Path

os.environ["JAX_NUM_CPU_DEVICES"] = sys.argv[3]  # read when JAX is imported

from small import experiment

from redalign_jax import block, hosts, stopping, sweep, workdir
from redalign_jax.errors import UserError


def config(**changes):
    """Blocks of one run per device."""
    return experiment(
        sweep__seeds=3, sweep__chunk=1, train__steps=10, train__evaluations=10, **changes
    )


def _port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def _live(folder: Path, address: str, count: int, index: int, how: str) -> int:
    advance, trained = block.advance, 0
    last = index == count - 1
    workdir._seen = partial(workdir._seen, seconds=1)

    def watched(part, inputs, carry):
        nonlocal trained
        after, trained = advance(part, inputs, carry), trained + 1
        if str(trained) == how and last:
            os.kill(os.getpid(), signal.SIGTERM)
        return after

    block.advance = watched
    try:
        if count > 1:
            hosts.join(address, count, index)
        own = folder / "apart" if how == "apart" and last else folder
        sweep.run(config(), own, progress=False)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except stopping.Stopped:
        return stopping.STATUS
    return 0


def main(folder: Path, count: int, how: str) -> None:
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
    print(json.dumps([os.WEXITSTATUS(os.waitpid(child, 0)[1]) for child in children]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), "".join(sys.argv[4:]))
