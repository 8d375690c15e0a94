"""Being asked to stop: SIGTERM, as preemption and a job's time limit send it."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

STATUS = 75  # EX_TEMPFAIL: the same command goes on where this one stopped


class Stopped(Exception):
    """A sweep stopped because it was asked to; all but the segment in progress is saved."""


@contextlib.contextmanager
def listening() -> Iterator[Callable[[], bool]]:
    """Inside, SIGTERM only makes the returned function true; a thread cannot listen."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
