"""What is done to a dataset, said once."""

import logging

_said: set[str] = set()


def once(line: str, about: str = "") -> None:
    """Logs `line`, unless it has been said: every seed loads the same data.

    Where the line is not the same for every seed, `about` says what it is about.
    """
    if (about or line) not in _said:
        _said.add(about or line)
        logging.warning(line)


def forget() -> None:
    """Says everything again, for tests."""
    _said.clear()
