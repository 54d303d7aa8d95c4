"""Problems of a config file, worded so that they can be located: file, line, path, message, hint."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_NOT_SHOWN = "(not shown: it may contain a secret)"
# Unknown names that are safe to show. A provider key has capitals or digits, and people write
# `{openai_api_key:sk-...}` without the blank, which makes the secret part of a name.
_HARMLESS = re.compile(r"(?!sk[_-]|key[_-])[a-z]{1,20}[0-9]{0,3}(?:[_-][a-z]{1,20}[0-9]{0,3}){0,5}")
# The same for variables and for the parts of a path, which follow other conventions; in a random key, letters follow
# digits.
_HARMLESS_VARIABLE = re.compile(r"(?:[A-Z]{0,20}[0-9]{0,3}(?:_|$)){1,8}|(?:[a-z]{0,20}[0-9]{0,3}(?:_|$)){1,8}")
# Words must not be empty, or a run of dashes could be divided among twelve of them in billions of ways.
_HARMLESS_PART = re.compile(r"(?!sk[_-])[._ ~-]*(?:(?:[A-Za-z]{1,20}[0-9]{0,5}|[0-9]{1,5})(?:[._ -]+|$)){0,12}")
# For names that contain a word.
_PARTS_MAX = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. `line` counts from 1 (0: the whole file). `path` is like `routes[2].model.provider`, or empty."""

    file: str
    line: int
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        middle = f" {self.path}:" if self.path else ""
        return f"{place}:{middle} {self.message}" + (f"; {self.hint}" if self.hint else "")


class ConfigErrors(Exception):
    """The config cannot be used. `problems` lists everything that was found, file by file and in order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        found = list(problems)
        rank = {file: index for index, file in enumerate(dict.fromkeys(problem.file for problem in found))}
        self.problems = sorted(found, key=lambda problem: (rank[problem.file], problem.line))
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(slots=True)
class Report:
    """Collects the problems of one load."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    _unreadable: set[tuple[int, str]] = field(default_factory=set)

    def of_file(self, file: str) -> Report:
        """The same report, for another file."""
        return Report(file, self.problems, self.warnings)

    def error(self, line: int, path: str, message: str, hint: str = "") -> None:
        if (line, path) not in self._unreadable:
            self.problems.append(Problem(self.file, line, path, message, hint))

    def unreadable(self, line: int, path: str, message: str, hint: str = "") -> None:
        """Reports an error for a value that is unknown; further errors about it are suppressed."""
        self.error(line, path, message, hint)
        self._unreadable.add((line, path))

    def warn(self, line: int, path: str, message: str, hint: str = "") -> None:
        self.warnings.append(Problem(self.file, line, path, message, hint))

    def fatal(self, line: int, message: str, hint: str = "") -> ConfigErrors:
        """For errors that make further reading pointless: `raise report.fatal(...)`."""
        self.error(line, "", message, hint)
        return ConfigErrors(self.problems)


def near_miss(word: str, known: Iterable[str]) -> str:
    """Returns `did you mean "openai"?`, or the choices if none is similar and there are few, or "". A word that is
    part of a choice (`api` of `chat_api`) counts as similar."""
    choices = list(known)
    near = difflib.get_close_matches(word[:64], choices, n=1, cutoff=0.6)
    near = near or [each for each in choices if word in each.split("_")][:_PARTS_MAX]
    if near:
        quoted = [f'"{each}"' for each in near]
        return f"did you mean {' or '.join(quoted)}?"
    return f"known: {', '.join(choices)}" if len(choices) <= 12 else ""


def shown(name: str) -> str:
    """Returns a name from the file in quotes, or a placeholder if it could be part of a secret."""
    return f'"{name}"' if _HARMLESS.fullmatch(name) else _NOT_SHOWN


def shown_parameter(name: str) -> str:
    """The same for a request parameter, which may be preceded by its path: `a.b[].c`."""
    return f'"{name}"' if all(map(_HARMLESS.fullmatch, name.replace("[]", "").split("."))) else _NOT_SHOWN


def shown_variable(name: str) -> str:
    """The same for an environment variable, since a key may have been put after the $."""
    return name if _HARMLESS_VARIABLE.fullmatch(name) else _NOT_SHOWN


def shown_path(path: str) -> str:
    """The same for a path, parts of which may look like a key."""
    return f'"{path}"' if all(map(_HARMLESS_PART.fullmatch, path.split("/"))) else _NOT_SHOWN
