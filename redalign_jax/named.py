"""Fields that say something by name: NAME=VALUE between commas."""

from collections.abc import Sequence

from redalign_jax.errors import UserError


def values(
    field: str, text: str, names: Sequence[str], choices: Sequence[str], what: str
) -> dict[str, str]:
    """{name: value} of "NAME=VALUE,…"; spaces around the parts do not count, nor empty ones.

    Args:
      field: what the field is called.
      text: what it holds.
      names: there are.
      choices: of values.
      what: a value is, for the message.

    Raises:
      UserError: a name or a value that does not exist, or a name twice.
    """
    found: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, value = (p.strip() for p in part.partition("="))
        if name not in names or value not in choices:
            raise UserError(
                f"{field}={text!r}: {part!r} is not NAME={what.upper()}, with a name of "
                f"{', '.join(names)} and a {what} of {', '.join(choices)}"
            )
        if name in found:
            raise UserError(f"{field}={text!r}: {name!r} is there twice")
        found[name] = value
    return found
