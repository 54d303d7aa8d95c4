"""What keeps a start from succeeding, in words for the operator."""

from __future__ import annotations


class StartError(Exception):
    """The start failed. The message goes to standard error: sentences that name the thing and what to do about it.

    A configuration with several problems has one line for each.
    """


def words_of(error: OSError | ValueError) -> str:
    """What is wrong, with the file's name and what to do about it."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename} cannot be used ({error.strerror}). Restore it, or move it away"
    return str(error)
