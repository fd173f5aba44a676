"""Errors that are the user's to mend."""


class UserError(Exception):
    """A mistake in the input. Its message is one sentence that names the file or option and the mend.

    The command line prints it without a traceback and exits with code 2.
    """
