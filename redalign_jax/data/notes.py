"""What is done to a dataset, said once."""

import logging

_said: set[str] = set()


def once(about: str, line: str) -> None:
    """Logs `line`, unless something has been said `about` this: seeds load the same data again."""
    if about not in _said:
        _said.add(about)
        logging.warning(line)


def forget() -> None:
    """Says everything again, for tests."""
    _said.clear()
