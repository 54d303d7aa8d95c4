"""Where a key comes from: `$NAME`, `${NAME}`, `file:PATH`, the path of an existing file, or the text itself. The
last three may contain variables.

Files of routes managed through the API only have the form `secret:NAME`: those who may create a route must not read
the server's environment and files through it.

Messages never contain a part of a value. Names of variables and paths after `file:` are shown unless they look like
keys.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sidecar.config import fields, foreign_keys
from sidecar.config.problems import Report, shown_path, shown_variable
from sidecar.config.variables import UnknownVariableError, expanded
from sidecar.config.yaml_tree import Node
from sidecar.domain.secret import Secret

ReadFile = Callable[[str], str | None]

# File names in the secrets directory; no path leads out of it.
SECRET_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
_SECRET = "secret:"
# At the start of a file saved by a Windows editor; the second form if invalid UTF-8 is preserved.
_BYTE_ORDER_MARK = "\ufeff"
_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
# Keys have tens to a few hundred characters, identity tokens some thousand; servers limit headers to 8 KiB or more.
_KEY_CHARS_MAX = 8192
# What to do about a stored key that is lost.
_STORED_LOST = "restore it, or remove the route's file and create the route again"
_ILLEGAL = re.compile(r"[\x00-\x1f\x7f-\x9f]|[^\x00-\xff]")


@dataclass(slots=True)
class Sources:
    """Environment and files of one load. A file that several routes name is read once.

    `read_secret` is set for files of routes managed through the API: it returns the content of a file in the secrets
    directory, or None, or raises OSError.
    """

    env: Mapping[str, str]
    read_file: ReadFile
    read_secret: ReadFile | None = None
    _read: dict[str, str | None] = field(default_factory=dict)

    def file(self, path: str) -> str | None:
        """Returns the content, or None if there is no such file. Raises OSError."""
        if path not in self._read:
            self._read[path] = self.read_file(path)
        return self._read[path]


def secret(node: Node, path: str, report: Report, sources: Sources) -> Secret | None:
    """Returns the key, or None with a problem reported."""
    written = fields.text(node, path, report)
    if written is None:
        return None
    resolve = _resolve if sources.read_secret is None else _resolve_stored
    try:
        found = resolve(written, node.line, path, report, sources)
    except OSError as error:
        report.error(node.line, path, f"the file cannot be read: {error.strerror or type(error).__name__}")
        return None
    if found is None:
        return None
    source, value = found
    value = value.removeprefix(_BYTE_ORDER_MARK).removesuffix("\n").removesuffix("\r")
    if problem := _value_problem(value):
        report.error(node.line, path, f"{source} {problem}")
        return None
    return Secret(value)


def _resolve_stored(written: str, line: int, path: str, report: Report, sources: Sources) -> tuple[str, str] | None:
    assert sources.read_secret is not None
    name = written.removeprefix(_SECRET)
    if name == written or not SECRET_NAME.fullmatch(name):
        report.error(line, path, "write the key as secret:NAME", "variables, paths and plain keys are refused here")
        return None
    file = f"routes.d/secrets/{name}"
    try:
        content = sources.read_secret(name)
    except OSError as error:
        report.error(line, path, f"{file} cannot be read: {error.strerror or type(error).__name__}", _STORED_LOST)
        return None
    if content is None:
        report.error(line, path, f"{file} is not there", _STORED_LOST)
        return None
    return file, content


def _resolve(written: str, line: int, path: str, report: Report, sources: Sources) -> tuple[str, str] | None:
    """Returns a description of where the value came from, and the value."""
    if match := _VARIABLE.fullmatch(written):
        return _variable(match[1] or match[2], line, path, report, sources)
    if written.startswith(_SECRET):
        report.error(line, path, "secret:NAME is only for routes managed through the API", "use $NAME or file:PATH")
        return None
    if foreign := foreign_keys.as_written(written):
        report.error(line, path, *foreign)
        return None
    literal = "$" not in written.replace("$$", "")
    try:
        written = expanded(written, sources.env, show=written.startswith("file:"))
    except UnknownVariableError as error:
        report.error(line, path, error.message, error.hint)
        return None
    if written.startswith("file:"):
        name = written.removeprefix("file:")
        content = sources.file(name) if name else None
        if content is None:
            hint = "paths start at the config file's directory"
            report.error(line, path, f"file {shown_path(name)} does not exist", hint)
            return None
        return f"file {shown_path(name)}", content
    return _file_or_literal(written, line, path, report, sources, literal=literal)


def _file_or_literal(
    written: str, line: int, path: str, report: Report, sources: Sources, *, literal: bool
) -> tuple[str, str] | None:
    content = sources.file(written) if len(written) <= 4096 and "\n" not in written and "\0" not in written else None
    if content is not None:
        return "the file that it names", content
    if written.startswith(("/", "./", "../", "~")):
        hint = "put a key that starts like this into a variable: $NAME"
        report.error(line, path, "looks like a path, but the file does not exist", hint)
        return None
    if literal and not _value_problem(written):
        report.warn(line, path, "contains the key in plain text", "use $NAME or file:PATH")
    return "the key", written


def _variable(name: str, line: int, path: str, report: Report, sources: Sources) -> tuple[str, str] | None:
    value = sources.env.get(name)
    if not value:
        report.error(
            line, path, f"environment variable {shown_variable(name)} is {'not set' if value is None else 'empty'}"
        )
        return None
    return f"environment variable {shown_variable(name)}", value


def _value_problem(value: str) -> str:
    if not value:
        return "is empty"
    if len(value) > _KEY_CHARS_MAX:
        return f"is longer than {_KEY_CHARS_MAX} characters"
    if words := foreign_keys.as_found(value):
        return words
    if _ILLEGAL.search(value):
        return "contains a control or non-Latin-1 character, which headers do not allow"
    if value != value.strip():
        return "starts or ends with a blank"
    return ""
