"""One lock for all: the file system's own, or a marker file where it has none."""

import contextlib
import errno
import logging
from collections.abc import Iterator
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

# What flock says where a file system or its server knows no locks.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


SILENCE = 30  # seconds of waiting without a word


class InUse(Exception):
    """Another process holds the lock; says what to do if it does not."""


@contextlib.contextmanager
def holding(path: Path, wait: bool = False) -> Iterator[None]:
    """Inside, no other process that asks for the same `path` is.

    A lock of the file system goes with its process, however that ends. A marker file that a killed
    process leaves is taken over on the same host, and has to be deleted by hand from others.

    Args:
      path: of the lock file; its folder exists.
      wait: until it is free.

    Raises:
      InUse: another process holds it, and `wait` is not set.
      OSError: neither kind of lock can be made there.
    """
    with contextlib.ExitStack() as stack:
        try:
            native = FileLock(path, fallback_to_soft=False)
            stack.enter_context(_acquired(native, wait, "it"))
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            # a name of its own: the attempt above leaves its file
            marker = f"{path}.held"
            stack.enter_context(
                _acquired(SoftFileLock(marker), wait, f"it, or {marker} is deleted")
            )
        yield


@contextlib.contextmanager
def _acquired(lock: BaseFileLock, wait: bool, until: str) -> Iterator[None]:
    try:
        lock.acquire(timeout=SILENCE if wait else 0)
    except Timeout:
        if not wait:
            raise InUse(f"until that process lets go of {until}") from None
        logging.warning(
            "waiting until the process that holds %s lets go of %s", lock.lock_file, until
        )
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
