"""What may happen to a change of routes that other gateways see, too."""

from __future__ import annotations


class Behind(Exception):
    """Another gateway has made a change that this one did not know of: what is to be changed has to be checked again."""


class NotTaken(Exception):
    """A change of another gateway does not fit here; the text says why, without a key."""


class CopyDamaged(Exception):
    """The files of this gateway cannot be read; the text says which, and why."""
