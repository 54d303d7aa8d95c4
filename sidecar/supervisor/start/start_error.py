"""What keeps a start from succeeding, in words for the operator."""

from __future__ import annotations


class StartError(Exception):
    """The start failed. The message is what goes to stderr: one line naming the thing and what to do about it.

    A configuration with several problems has one line for each.
    """
