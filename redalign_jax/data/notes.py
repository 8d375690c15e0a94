"""What is done to a dataset, said once."""

import logging

_said: dict[str, str] = {}  # by what it is about


def once(line: str, about: str = "") -> None:
    """Logs `line`, unless it has been said: every seed loads the same data.

    Where the line is not the same for every seed, `about` says what it is about.
    """
    if (about or line) not in _said:
        _said[about or line] = line
        logging.warning(line)


def about(source: str) -> list[str]:
    """What was said of a file or dataset, in order."""
    return [line for line in _said.values() if line.startswith(f"{source}: ")]


def forget() -> None:
    """Says everything again, for tests."""
    _said.clear()
