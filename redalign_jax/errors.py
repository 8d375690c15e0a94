"""The one error a user is meant to read."""


class UserError(ValueError):
    """Input that cannot be used: one line that names the field or the file.

    The command line prints it and exits with status 2, before compute is spent.
    """
