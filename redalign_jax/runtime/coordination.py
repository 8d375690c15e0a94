"""The processes of a job end together: an error on one ends all, each with a line that names it.

JAX's coordination service carries the news. Its heartbeats tell who is alive, its key-value store
holds what the failed ones said, its barriers have timeouts. Two threads of every process listen,
because the main one may be inside a collective that never ends.

A process that fails says so before it cleans up. The others then meet for `ROLL_CALL` seconds, and
who is missing has vanished. Whatever hangs, a process is gone `GRACE` seconds after its own error.
"""

import contextlib
import json
import os
import platform
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

import jax
from jax._src import distributed

from redalign_jax.errors import UserError
from redalign_jax.runtime import devices
from redalign_jax.runtime.preemption import Stopped

HEARTBEAT = 40  # seconds without one after which JAX takes a process for dead
PATIENCE = 3600  # seconds to wait for the slowest process
ROLL_CALL, GRACE = 8, 30

_FAILED, _HERE = "redalign_jax/failed/", "redalign_jax/here/"
_ending = threading.Lock()  # never released: one thread ends the process
_leaving = threading.Event()
_threads: list[threading.Thread] = []
_told: list[BaseException] = []  # one at most


def meet(place: str) -> None:
    """Returns when all processes of the job have come to the same place.

    Stands before whatever JAX does among processes: a collective on CPUs gives up on a process that
    comes half a minute late.

    Raises:
      JaxRuntimeError: one has not come within `PATIENCE` seconds, or is dead.
    """
    if distributed.global_state.client:
        distributed.global_state.client.wait_at_barrier(f"redalign_jax/{place}", PATIENCE * 1000)


@contextlib.contextmanager
def joined(
    coordinator: str | None = None, count: int | None = None, index: int | None = None
) -> Iterator[None]:
    """Inside, this process is one of a job's, and all of their devices are one mesh.

    Begins before JAX starts. An error that leaves it ends this process and all others, with exit
    status 2 for a UserError and 1 for any other; only `Stopped`, which all raise, goes on.

    Args:
      coordinator: HOST:PORT of the first process; None asks TPU, Slurm or whatever started the
        processes, which know all three.
      count: number of processes.
      index: of this one.

    Raises:
      UserError: the others cannot be found, or do not come.
    """
    devices.prepare()
    # SIGTERM is agreed on at the end of a segment (`processes.any_of`), where runs can be saved.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(coordinator, count, index, heartbeat_timeout_seconds=HEARTBEAT)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"distributed: the job's processes cannot be joined: {reason}") from None
    _leaving.clear()
    _threads[:] = [threading.Thread(target=f, daemon=True) for f in (_listen, _count)]
    for thread in _threads:
        thread.start()
    stopped = None
    try:
        with telling():
            try:
                yield
            except Stopped as error:
                stopped = error
            _leave()
    except BaseException:
        _end()
    if stopped:
        raise stopped


@contextlib.contextmanager
def telling() -> Iterator[None]:
    """An error inside is told to the other processes at once, before anything is cleaned up."""
    try:
        yield
    except Stopped:
        raise
    except BaseException as error:
        if _threads and not _told:
            _told.append(error)
            _tell(error)
        raise


def _leave() -> None:
    """Waits for all, also for the first, which may still draw the report."""
    meet("end")
    _leaving.set()
    jax.distributed.shutdown()
    for thread in _threads:
        thread.join()
    _threads.clear()


def _tell(error: BaseException) -> None:
    guard = threading.Timer(GRACE, _end)
    guard.daemon = True
    guard.start()
    # JAX's own errors are often only what the failure of another process looks like from here.
    sure = not isinstance(error, jax.errors.JaxRuntimeError)
    text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    said = {
        "line": f"on {platform.node()}: {' '.join(text.split())[:600]}",
        "status": 2 if isinstance(error, UserError) else 1,
        "sure": sure,
    }
    me = distributed.global_state.process_id
    if sure:
        if not isinstance(error, UserError):
            traceback.print_exception(error)
        _say(f"process {me} {said['line']}")
    try:
        distributed.global_state.client.key_value_set(f"{_FAILED}{me}", json.dumps(said))
    except jax.errors.JaxRuntimeError:
        _end({0})


def _listen() -> None:
    """Ends this process when another has failed, or the first, which hosts the service, is gone."""
    state = distributed.global_state
    client, me = state.client, state.process_id
    while not _leaving.wait(1):
        try:
            failed = _numbers(client.key_value_dir_get(_FAILED))
        except jax.errors.JaxRuntimeError:
            failed = {0: ""}
        if failed and me not in failed and not _leaving.is_set():
            _end()


def _count() -> None:
    """Ends this process when the heartbeats of another have stopped."""
    state = distributed.global_state
    client, everyone = state.client, range(state.num_processes)
    while not _leaving.wait(1):
        try:
            alive = client.get_live_nodes(list(everyone))
        except jax.errors.JaxRuntimeError:
            return  # `_listen` notices too
        if len(alive) < len(everyone) and not _leaving.is_set():
            _end(set(everyone) - set(alive))


def _numbers(pairs: list[tuple[str, str]]) -> dict[int, str]:
    return {int(key.rpartition("/")[2]): value for key, value in pairs}


def _roll_call(me: int) -> tuple[dict[int, dict[str, Any]], set[int]]:
    """What the failed processes said, and who has vanished."""
    client = distributed.global_state.client
    try:
        client.key_value_set(f"{_HERE}{me}", "", allow_overwrite=True)
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            client.wait_at_barrier("redalign_jax/here", ROLL_CALL * 1000)
        here = _numbers(client.key_value_dir_get(_HERE))
        failed = _numbers(client.key_value_dir_get(_FAILED))
    except jax.errors.JaxRuntimeError:
        return {}, {0}
    missing = set(range(distributed.global_state.num_processes)) - {*here, *failed}
    return {i: json.loads(said) for i, said in failed.items()}, missing


def verdict(me: int, failed: dict[int, dict[str, Any]], missing: set[int]) -> tuple[list[str], int]:
    """Who is at fault: the lines that process `me` still has to say, and its exit status."""
    gone = [f"process {i} has vanished: killed, or its host is lost" for i in sorted(missing)]
    sure = {i: said for i, said in failed.items() if said["sure"]}
    if me in sure:
        return gone, sure[me]["status"]
    # an error that JAX met counts only where there is no other cause
    named = sure or ({} if gone else failed)
    if not named:
        return gone, 1
    i = me if me in named else min(named)
    return [*gone, f"process {i} {named[i]['line']}"], named[i]["status"]


def _say(line: str) -> None:
    sys.stderr.write(f"redalign_jax: {line}\n")  # at once: other processes write there, too
    sys.stderr.flush()


def _end(missing: set[int] = frozenset()) -> NoReturn:
    """Says who is at fault and ends this process, with no more of its clean-up."""
    _ending.acquire()
    me = distributed.global_state.process_id
    failed, missing = ({}, missing) if missing else _roll_call(me)
    lines, status = verdict(me, failed, missing)
    for line in lines:
        _say(line)
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    if not missing:  # the first is the last to go: the others read in its service what was said
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            distributed.global_state.client.wait_at_barrier("redalign_jax/said", 5000)
        time.sleep(me == 0)
    os._exit(status)
