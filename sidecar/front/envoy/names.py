"""An allow-list for Envoy's header_mutation filter, which can only remove by pattern: a pattern of all other names."""

from __future__ import annotations

import re
from collections.abc import Iterable


def all_but(allowed: Iterable[str]) -> str:
    """Returns an RE2 pattern that matches every header name except the `allowed` ones; `x-a*` allows a prefix.

    RE2 has no negation, so the pattern is spelled out letter by letter: "anything but `a` or `b` here, or `a` and
    then ...".
    """
    return _others(sorted(set(allowed)))


def _others(names: list[str]) -> str:
    """Matches whatever is not among `names`, which are suffixes from the current position on."""
    branches = [] if "" in names else [""]
    firsts = sorted({name[0] for name in names if name})
    branches.append(f"[^{''.join(map(re.escape, firsts))}].*" if firsts else ".+")
    for first in firsts:
        rest = [name[1:] for name in names if name[:1] == first]
        if "*" not in rest:
            branches.append(re.escape(first) + _others(rest))
    return f"(?:{'|'.join(branches)})"
