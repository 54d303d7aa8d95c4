"""What keeps a start from succeeding, in words for the operator."""

from __future__ import annotations


class StartError(Exception):
    """The start failed. The message goes to standard error: sentences that name the thing and what to do about it.

    A configuration with several problems has one line for each.
    """
