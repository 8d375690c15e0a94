"""Locks hold among processes, on file systems with locks of their own and without."""

import errno
import fcntl
import os
import signal
import time

import pytest

from redalign_jax.errors import UserError
from redalign_jax.runtime import locks, workdir

# JAX warns at every fork of a process with threads; these children take a lock and end
pytestmark = pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")


@pytest.fixture(params=[None, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def file_system(request, monkeypatch):
    """Without locks of its own where there is a parameter."""

    def flock(*_):
        raise OSError(request.param, os.strerror(request.param))

    if request.param:
        monkeypatch.setattr(fcntl, "flock", flock)
    return request.param


def child(f):
    """Forks a process that runs `f` and returns its number."""
    number = os.fork()
    if number:
        return number
    try:
        f()
        os._exit(0)
    except locks.InUse:
        os._exit(3)
    except BaseException:
        os._exit(1)


def status(number):
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def hold(path, **how):
    with locks.holding(path, **how):
        pass


def test_one_process_at_a_time_and_a_killed_one_lets_go(file_system, tmp_path):
    path = tmp_path / ".lock"
    with locks.holding(path):
        assert status(child(lambda: hold(path))) == 3
        with pytest.raises(locks.InUse):
            hold(path)
        waiting = child(lambda: hold(path, wait=True))
        time.sleep(0.2)
        assert os.waitpid(waiting, os.WNOHANG) == (0, 0)
    assert status(waiting) == 0

    def die():
        with locks.holding(path):
            os.kill(os.getpid(), signal.SIGKILL)

    assert status(child(die)) == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while (left := status(child(lambda: hold(path)))) == 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == 0


def test_a_workdir_is_held_without_locks_too(file_system, tmp_path):
    in_use = pytest.raises(UserError, match=r"in use by process .*, until .* lets go")
    with workdir.held(tmp_path), in_use as caught, workdir.held(tmp_path):
        pass
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    assert (".lock.held is deleted" in line) == bool(file_system)
    with workdir.held(tmp_path):
        pass


def test_where_no_lock_can_be_made_there_is_a_line(tmp_path):
    (tmp_path / "file").touch()
    refused = pytest.raises(UserError, match="workdir: .* cannot be written: ")
    with refused as caught, workdir.held(tmp_path / "file"):
        pass
    assert len(str(caught.value).splitlines()) == 1


def test_waiting_is_said(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(locks, "SILENCE", 0.1)
    other = child(lambda: held_for_a_second(tmp_path / ".lock"))
    while not (tmp_path / "taken").exists():
        time.sleep(0.01)
    hold(tmp_path / ".lock", wait=True)
    assert status(other) == 0
    assert "waiting until the process that holds" in caplog.text


def held_for_a_second(path):
    with locks.holding(path):
        path.with_name("taken").touch()
        time.sleep(1)
