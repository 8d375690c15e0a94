"""Being asked to stop: SIGTERM, as preemption and a job's time limit send it, or Ctrl-C."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

STATUS = 75  # EX_TEMPFAIL: the same command goes on where this one stopped


class Stopped(Exception):
    """A sweep stopped because it was asked to; all but the segment in progress is saved."""


@contextlib.contextmanager
def listening() -> Iterator[Callable[[], bool]]:
    """Inside, SIGTERM or Ctrl-C only makes the returned function true; a thread cannot listen.

    A second Ctrl-C does not wait: it raises KeyboardInterrupt.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: Any) -> None:
        if number == signal.SIGINT and asked.is_set():
            signal.default_int_handler(number, frame)
        if number == signal.SIGINT and sys.stderr.isatty():
            print(
                "\nredalign_jax: stops at the end of this segment; Ctrl-C again stops at once",
                file=sys.stderr,
            )
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
