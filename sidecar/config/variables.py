"""Variables in the values of the file: `$NAME` and `${NAME}` are the environment's, `$$` is a dollar.

Values are substituted once, after parsing: the value of a variable is never interpreted as YAML or as a variable
again. Keys are left to `secrets`, which reports where each came from and never shows it. Files of routes managed
through the API have no variables: those who may create a route must not read the server's environment through it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from adapters.providers import PROVIDERS
from sidecar.config.problems import Report, shown_variable
from sidecar.config.yaml_tree import MappingEntry, Node

_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_VARIABLE = re.compile(rf"\$(?:(?P<dollar>\$)|(?P<word>{_NAME})|\{{(?P<braced>{_NAME})\}})?")
SYNTAX = "$NAME and ${NAME} are variables, $$ is a dollar"
_SECRET_TARGETS = ("api_key", "secret")  # of Provider.config_keys
SECRET_KEYS = frozenset(
    key
    for row in PROVIDERS.values()
    for key, target in row.config_keys.items()
    if target.partition(":")[0] in _SECRET_TARGETS
)
# Sections that contain secrets, which their own readers resolve.
_WITH_SECRETS = ("config", "responses")
_SECRETS = SECRET_KEYS | {"encryption_key"}
# Top-level keys for anchors, whose contents are not read.
IGNORED = "x-"


class UnknownVariableError(ValueError):
    """Why a text cannot be expanded: message and hint. Names are shown as `problems.shown_variable` allows."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def expanded(text: str, env: Mapping[str, str], *, show: bool = True) -> str:
    """Returns the text with its variables substituted. Raises UnknownVariableError. Without `show`, a bare `$word`
    may be part of a key and is not shown."""

    def value(match: re.Match[str]) -> str:
        name = match["word"] or match["braced"]
        if match["dollar"]:
            return "$"
        if name is None:
            raise UnknownVariableError("contains a $ that does not begin a variable", SYNTAX)
        found = env.get(name)
        if not found:
            words = shown_variable(name) if show or match["braced"] else "(not shown: it may be part of a key)"
            state = "not set" if found is None else "empty"
            raise UnknownVariableError(f"environment variable {words} is {state}", "" if show else SYNTAX)
        return found

    return _VARIABLE.sub(value, text)


def expand_tree(root: Node, env: Mapping[str, str], report: Report) -> None:
    """Substitutes variables in the tree, in place. Unknown ones are reported, and further problems of the same
    place are suppressed."""
    _Expansion(env, report).below(root, "", top=True)


class _Expansion:
    """One walk over the tree. A node that several aliases name is walked once: its values are the same everywhere."""

    def __init__(self, env: Mapping[str, str], report: Report) -> None:
        self._env = env
        self._report = report
        self._walked: set[int] = set()

    def below(self, node: Node, path: str, *, top: bool = False, keys: bool = False) -> None:
        """`keys`: the mapping is one of those that contain secrets."""
        if id(node) in self._walked:
            return
        self._walked.add(id(node))
        for index, item in enumerate(node.items):
            node.items[index] = self._value(item, f"{path}[{index}]", keys=False)
        for name, entry in node.entries.items():
            if not (top and name.startswith(IGNORED)) and not (keys and name in _SECRETS):
                self._entry(entry, name, path)

    def _entry(self, entry: MappingEntry, name: str, path: str) -> None:
        if id(entry) not in self._walked:  # `<<` shares entries: read twice, `$$` would become `$` and then a variable
            self._walked.add(id(entry))
            entry.value = self._value(entry.value, f"{path}.{name}" if path else name, keys=name in _WITH_SECRETS)

    def _value(self, node: Node, path: str, *, keys: bool) -> Node:
        if node.kind != "scalar":
            self.below(node, path, keys=keys)
            return node
        if "$" not in node.text:
            return node
        try:
            text = expanded(node.text, self._env)
        except UnknownVariableError as error:
            self._report.unreadable(node.line, path, error.message, error.hint)
            return node
        # A new node, since an alias may name the old one in place of a key, where it stays as written. A variable's
        # value is always text.
        return replace(node, text=text, variable="$" in node.text.replace("$$", ""))
