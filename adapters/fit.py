"""Adapts one request to one provider: what is not supported is refused by name, or left out and reported.

    fit = Fit(target)
    request = fit_chat(request, PLACES, fit)
    fit.refuse("n", why="it gives one answer")
    HttpCall(url, body, left_out=fit.left_out())

`fit_chat` (fit_request.py) returns a copy if something is removed. `refuse` raises unless the route drops the parameter, and
`left_out` raises if the route is strict.
"""

from __future__ import annotations

from collections.abc import Iterable

from adapters.contract import Target
from adapters.errors import GatewayError
from adapters.members import DROPPABLE, NEVER_DROPPED, PROVIDERS_OWN, SHORT_NAMES, Member, ancestors
from adapters.refusals import unsupported


def dropped_names(target: Target) -> frozenset[str]:
    """The route's drop_params that are in the closed list. Others are a provider's own members, at the top level."""
    listed = target.options.get("drop_params")
    return frozenset(SHORT_NAMES.get(name, name) for name in listed) - NEVER_DROPPED if listed else frozenset()


class Fit:
    """Collects the names of what is left out of one request."""

    __slots__ = ("_drop", "_dropped", "_left_out", "target")

    def __init__(self, target: Target) -> None:
        self.target = target
        self._drop = dropped_names(target)
        self._left_out: dict[str, bool] = {}  # name -> whether requests of its kind require it
        self._dropped: dict[str, None] = {}

    @property
    def drop(self) -> frozenset[str]:
        """The route's drop_params that are in the closed list."""
        return self._drop

    def drops(self, name: str) -> bool:
        """Whether the route drops the member, which is then reported."""
        found = name in self._drop
        if found:
            self._dropped[name] = None
        return found

    def leave_out(self, *names: str, needed: bool = False) -> None:
        for name in names:
            self._left_out[name] = needed

    def refuse(self, param: str, name: str | None = None, why: str = "") -> None:
        """Raises unsupported_parameter for `param`, which is `name` in the closed list, unless drop_params lists it
        or a member that contains it: then it is left out."""
        names = (name or param, *ancestors(name or param))
        if not any(self.drops(each) for each in names):
            may_go = (each for each in names if each in DROPPABLE or each in PROVIDERS_OWN)
            raise self.unsupported(param, why, drop_as=next(may_go, None))

    def unsupported(self, param: str, why: str = "", *, drop_as: str | None = None) -> GatewayError:
        return unsupported(self.target.provider.name, param, why, drop_as=drop_as)

    def no_place(self, row: Member, param: str, value: object) -> None:
        """Handles a member that the format does not support."""
        if row.asks(value):
            self.refuse(param, row.name)
        else:
            self.leave_out(row.name, needed=row.needed)

    def leave_out_echoes(self, names: Iterable[str]) -> None:
        for name in names:
            if not self.drops(name):
                self.leave_out(name)

    def left_out(self) -> tuple[str, ...]:
        """Returns the names of what was left out, once each. If the route is strict, raises unsupported_parameter
        for the first one that is not allowed to be left out."""
        if self.target.options.get("strict"):
            for name, needed in self._left_out.items():
                if name not in self._drop and not needed:
                    raise self.unsupported(name, "it would be left out, and the route is strict", drop_as=name)
        return (*self._left_out, *(name for name in self._dropped if name not in self._left_out))


def allowed(target: Target, names: Iterable[str]) -> tuple[str, ...]:
    """Returns what a caller's format leaves out for the target, once each. Raises unsupported_parameter if the
    route is strict."""
    fit = Fit(target)
    fit.leave_out(*names)
    return fit.left_out()


def refuse(target: Target, param: str, name: str | None = None, why: str = "") -> None:
    """The same for a format that does not need a Fit otherwise."""
    Fit(target).refuse(param, name, why)
