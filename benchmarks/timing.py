"""Timing several things by turns, so that a drift of the machine's speed meets all alike."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Contestant(NamedTuple):
    """Something to time.

    Attributes:
      work: does it once, and waits for it.
      units: how much that is.
      note: for the table.
    """

    work: Callable[[], Any]
    units: float
    note: str = ""


class Rates(NamedTuple):
    """Units per second, one number per round.

    Attributes:
      wall: by the clock.
      processor: by the processor time of all cores together.
    """

    wall: np.ndarray
    processor: np.ndarray


def take_turns(contestants: dict[str, Contestant], rounds: int) -> dict[str, Rates]:
    """Times every contestant once per round, every other round in reverse order."""
    for contestant in contestants.values():
        contestant.work()
    seconds = {name: np.zeros((2, rounds)) for name in contestants}
    for number in range(rounds):
        for name in list(contestants)[:: -1 if number % 2 else 1]:
            began, used = time.perf_counter(), time.process_time()
            contestants[name].work()
            ended = time.perf_counter(), time.process_time()
            seconds[name][:, number] = ended[0] - began, ended[1] - used
    return {name: Rates(*(c.units / seconds[name])) for name, c in contestants.items()}


def trial(train: Callable[[int], None], runs: int, seconds: float = 0.3) -> float:
    """Run-steps per second of a short try."""
    train(1)
    began, steps = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < seconds:
        train(2)
        steps += 2
    return steps * runs / spent
