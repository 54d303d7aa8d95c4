"""Conflicts of route changes that other gateways also see."""

from __future__ import annotations


class Behind(Exception):
    """Another gateway has made a change that this one had not seen: the own change has to be validated again."""


class NotTaken(Exception):
    """A change of another gateway does not fit here; the text says why, without a key."""


class CopyDamaged(Exception):
    """The files of this gateway cannot be read; the text says which, and why."""
