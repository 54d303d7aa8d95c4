"""Detects what a new configuration permits that the old one did not, and whether that is explicit.

An addition grants access on purpose: a user, an entry of `allow`, a role. What grants access because something is
*missing* may be a truncated file: no `consumers`, no `allow` where there was one, fewer entries of `deny`, a
consumer that no longer claims its users so that another one does, fewer limits or budgets. Such losses need
confirmation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import islice

from sidecar.domain.caller import LOCAL_CONSUMER, Caller
from sidecar.domain.snapshot import Consumer, Limit, Route, Snapshot
from sidecar.gateway.consumers import Consumers
from sidecar.gateway.route_names import RouteNames

# More losses than this only fill the log line.
_LOSSES_MAX = 8
_NAMES_MAX = 3
# Names of front users contain no blanks (decision 0004), so only a glob can claim this one.
_ANYBODY = "any body"
# Valid in names of users and of routes that wildcards answer, and improbable at the end of either.
_ANYTHING = "_"


@dataclass(frozen=True, slots=True)
class Widening:
    """`opens`: somebody may do more than before. `losses`: sentences about what is missing that had prevented it."""

    opens: bool
    losses: tuple[str, ...] = ()


def widening(before: Snapshot, after: Snapshot) -> Widening:
    """Compares `after` with `before`. Pure. Routes are identified by name; a new one is judged by the old globs."""
    losses, opens = [], False
    if before.consumers is not None and after.consumers is None:
        count = len(after.routes)
        losses.append(f"`consumers` is missing: every user could call every route ({count})")
    elif before.consumers is not None and before.consumers != after.consumers:
        for each in _pairs(before, after):
            opens = opens or each.opens
            losses += each.losses
    for name in before.routes.keys() & after.routes.keys():
        losses += _uncapped(f'route "{name}"', before.routes[name], after.routes[name])
    losses += _overtaken(before, after)
    losses = list(dict.fromkeys(losses))
    if len(losses) > _LOSSES_MAX:
        losses = [*losses[:_LOSSES_MAX], f"{len(losses) - _LOSSES_MAX} more"]
    return Widening(opens or bool(losses), tuple(losses))


def _overtaken(before: Snapshot, after: Snapshot) -> list[str]:
    """A removed route whose name is now answered by a wildcard, without the route's limits."""
    names, losses = RouteNames(after), []
    for name in before.routes.keys() - after.routes.keys() if names.wildcards else ():
        if (wildcard := names.answered(name)) is not None and name not in names.exact:
            found = _uncapped(
                f'route "{name}" is gone, "{wildcard.name}" answers its name', before.routes[name], wildcard
            )
            losses += found
    return losses


def _pairs(before: Snapshot, after: Snapshot) -> Iterable[Widening]:
    """Yields the pairs of consumers that a caller had and has, using one example caller for each pair."""
    was, now = Consumers(replace(before, routes=after.routes)), Consumers(after)
    named = {consumer.name: consumer for consumer in before.consumers or ()}
    old_claims, new_claims = _Claims(before), _Claims(after)
    seen = set()
    for caller in _callers(before, after):
        old, new = old_claims.of(caller, was), new_claims.of(caller, now)
        kept = _claimed(named.get(new.name), caller)
        key = (old.name if old.name in named else "", new.name, kept)  # a caller that none claims is its own consumer
        if old == new or key in seen:
            continue
        seen.add(key)
        opened: list[str] = []
        if (old.allow, old.deny) != (new.allow, new.deny):
            routes = was.routes(old)
            opened = [name for name in now.routes(new) if name not in routes]
            # For names answered by wildcards, only the globs show which ones exist.
            examples = (_example(glob) for glob in (*old.deny, *old.allow, *new.allow) if now.names.wildcards)
            opened += [name for name in examples if now.find(new, name) is not None and was.find(old, name) is None]
            opened = list(dict.fromkeys(opened))
        yield _same(old, new, opened) if old.name == new.name else _moved(old, new, opened, kept)


class _Claims:
    """Consumers.of for thousands of callers: only globs are tried one by one."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._consumers = snapshot.consumers or ()
        self._words: dict[str, int] = {}
        self._globs: list[tuple[int, str]] = []
        for position, consumer in enumerate(self._consumers):
            for user in consumer.users:
                if any(character in user for character in "*?["):
                    self._globs.append((position, user))
                else:
                    self._words.setdefault(user, position)

    def of(self, caller: Caller, consumers: Consumers) -> Consumer:
        first = self._words.get(caller.user, len(self._consumers))
        globs = (position for position, glob in self._globs if position < first and fnmatchcase(caller.user, glob))
        first = next(globs, first)
        if caller.local or first == len(self._consumers):
            return consumers.of(caller)
        return self._consumers[first]


def _same(old: Consumer, new: Consumer, opened: list[str]) -> Widening:
    who, losses = f'consumer "{new.name}"', []
    denied = {name: glob for name in opened if (glob := _first(old.deny, name)) is not None}
    if denied:
        gone = _list(dict.fromkeys(denied.values()))
        losses.append(f"{who}: `deny` lost {gone}, which opens {_list(denied)}")
    rest = [name for name in opened if name not in denied]
    if rest and old.allow_written and not new.allow_written:
        losses.append(f"{who}: `allow` is missing, which opens {_list(rest)}")
    losses += _uncapped(who, old, new)
    return Widening(bool(opened) or bool(losses) or (new.admin and not old.admin), tuple(losses))


def _moved(old: Consumer, new: Consumer, opened: list[str], kept: bool) -> Widening:
    """`kept`: the new consumer claimed the caller before as well, but the old one came first."""
    uncapped = _uncapped(f'consumer "{old.name}"', old, new)
    opens = bool(opened) or bool(uncapped) or (new.admin and not old.admin)
    if not opens or not kept:
        return Widening(opens)
    words = f'consumer "{old.name}" no longer claims users of "{new.name}"'
    gained = [f"opens {_list(opened)}"] if opened else []
    gained += ["makes them admin"] if new.admin and not old.admin else []
    gained += ["frees them of limits or budgets"] if uncapped else []
    return Widening(True, (f"{words}, which {' and '.join(gained)}",))


def _uncapped(who: str, old: Consumer | Route, new: Consumer | Route) -> list[str]:
    """A changed count is an edit; one limit fewer of a unit is a loss."""
    found = []
    if _count(old.limits) - _count(new.limits):
        units = _count(old.limits) - _count(new.limits)
        found.append(f"{who}: `limits` lost {_list(units, quoted=False)}")
    if len(old.budgets) > len(new.budgets):
        found.append(f"{who}: `budgets` lost {len(old.budgets) - len(new.budgets)} of {len(old.budgets)}")
    return found


def _count(limits: Iterable[Limit]) -> Counter[str]:
    return Counter(limit.unit for limit in limits)


def _callers(before: Snapshot, after: Snapshot) -> Iterable[Caller]:
    """All named users, one example per glob, one that nothing names, and the local gRPC port and socket."""
    listed = [user for each in (before, after) for consumer in each.consumers or () for user in consumer.users]
    users = dict.fromkeys([*map(_example, listed), _ANYBODY])
    return [Caller(user, False, "", None) for user in users] + [Caller(LOCAL_CONSUMER, True, "", None)]


def _claimed(consumer: Consumer | None, caller: Caller) -> bool:
    """Whether the old consumer also claimed the caller."""
    if consumer is None:
        return False
    return consumer.local if caller.local else _first(consumer.users, caller.user) is not None


def _example(glob: str) -> str:
    """A name that matches."""
    text, position = "", 0
    while position < len(glob):
        character, end = glob[position], glob.find("]", position + 2)
        if character == "[" and end > 0:
            members = glob[position + 1 : end]
            negated = members.startswith("!")
            text += next((one for one in "0aA_~" if one not in members), "0") if negated else members[0]
            position = end
        else:
            text += {"*": _ANYTHING, "?": _ANYTHING}.get(character, character)
        position += 1
    return text


def _first(globs: Iterable[str], name: str) -> str | None:
    return next((glob for glob in globs if fnmatchcase(name, glob)), None)


def _list(names: Iterable[str] | Mapping[str, object], *, quoted: bool = True) -> str:
    names = list(names)
    some = ", ".join(f'"{name}"' if quoted else name for name in islice(names, _NAMES_MAX))
    return some if len(names) <= _NAMES_MAX else f"{some} and {len(names) - _NAMES_MAX} more"
