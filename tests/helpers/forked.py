"""Runs `python -m MODULE ...` in forks of one process that has imported everything.

Two seconds of every command are imports, which is most of what a refusal takes. JAX starts in the
fork, never before it.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
SECONDS = 300  # after which a command is ended


@cache
def _server():
    server = subprocess.Popen(
        [sys.executable, "-m", "helpers.forked"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{TESTS}:{ROOT}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # JAX warns of every fork
        text=True,
    )

    def end():
        server.stdin.close()
        server.stdout.close()
        server.wait()

    atexit.register(end)
    return server


def run(module, *arguments, folder=ROOT, **environment):
    """As `subprocess.run` of this module with these arguments, output captured."""
    server = _server()
    with tempfile.TemporaryDirectory() as scratch:
        told = [Path(scratch, name) for name in ("stdout", "stderr")]
        asked = [module, arguments, folder, os.environ | environment, told]
        server.stdin.write(json.dumps(asked, default=str) + "\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        said = [path.read_text() for path in told]
    return subprocess.CompletedProcess(["-m", module, *arguments], status, *said)


def _live(module, arguments, folder, environment, told):
    """The command, in a process that ends as Python does."""
    signal.alarm(SECONDS)
    for stream, path in zip((1, 2), told, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[0] = folder
    sys.argv = [module, *map(str, arguments)]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _serve():
    import matplotlib.figure  # noqa: F401

    from redalign_jax import api, config_files, jobs, report, sweep, usage  # noqa: F401
    from redalign_jax.advise import apply  # noqa: F401
    from redalign_jax.fitted import train  # noqa: F401
    from redalign_jax.pid import decomposition  # noqa: F401
    from redalign_jax.report import told  # noqa: F401

    gc.freeze()  # what a fork's collector does not touch is not copied
    while asked := sys.stdin.readline():
        child = os.fork()
        if not child:
            _live(*json.loads(asked))
            return
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    _serve()
