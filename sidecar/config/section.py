"""A section of the file as one table: for the reader, the JSON Schema and the key tables of docs/reference/config.md."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sidecar.config import fields
from sidecar.config.kinds import Kind, Schema, or_variable, reference
from sidecar.config.problems import Report
from sidecar.config.scope import Scope
from sidecar.config.yaml_tree import MappingEntry, Node

_Value = TypeVar("_Value")
Entries = Mapping[str, MappingEntry]
# Checks a whole value for constraints between keys.
Check = Callable[[Any, Entries, str, Report], None]


@dataclass(frozen=True, slots=True)
class Field:
    """One key. `doc` is a sentence or two of plain text; `page` is what only docs/reference/config.md adds, in Markdown.

    `attribute` is the name in the section's value (default: the key). The default value is that of the value's
    class; `default` describes it if the class cannot. `hint` accompanies "is missing". `mlflow`: MLflow has the key
    too. `never_empty`: the key restricts somebody, so `key:` without a value is an error rather than absence.
    """

    key: str
    kind: Kind | Section[Any]
    doc: str
    page: str = ""
    attribute: str = ""
    required: bool = False
    default: str = ""
    hint: str = ""
    mlflow: bool = False
    never_empty: bool = False

    @property
    def target(self) -> str:
        """The attribute that the key sets."""
        return self.attribute or self.key + (self.kind.unit if isinstance(self.kind, Kind) else "")


@dataclass(frozen=True, slots=True, eq=False)
class Section(Generic[_Value]):
    """`make` builds the value from its attributes; if it is a dataclass, it has the defaults. `shared`: the JSON
    Schema has it once, in `$defs`. `ignored`: keys with this prefix are allowed and not read."""

    name: str
    make: Callable[..., _Value]
    fields: tuple[Field, ...]
    doc: str = ""
    check: Check | None = None
    shared: bool = False
    ignored: str = ""
    keys: tuple[str, ...] = field(init=False)
    _by_key: dict[str, Field] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_key", {each.key: each for each in self.fields})
        object.__setattr__(self, "keys", tuple(self._by_key))

    def entries(self, node: Node, path: str, scope: Scope, *, complete: bool = True) -> dict[str, MappingEntry] | None:
        """Returns the keys that are present and not empty; None if `node` is not a mapping. Reports unknown keys,
        and missing ones if the section has to be `complete`."""
        entries = fields.mapping(node, path, scope.report, self._by_key, self.ignored)
        if entries is None:
            return None
        for each in self.fields:
            place = join(path, each.key)
            if each.never_empty and each.key in node.entries and each.key not in entries:
                line = node.entries[each.key].line
                scope.report.error(line, place, "has no value", "remove the key, or write []")
            elif each.required and complete and each.key not in entries:
                scope.report.error(node.line, place, "is missing", each.hint)
        return entries

    def values(self, entries: Entries, path: str, scope: Scope, base: Any = None) -> dict[str, Any]:
        """Returns attributes by name, without those whose values are invalid. Subsections start from `base`'s
        values."""
        values: dict[str, Any] = {}
        for key, entry in entries.items():
            row = self._by_key[key]
            if isinstance(row.kind, Section):
                before = self.default(row) if base is None else getattr(base, row.target, None)
                value = row.kind.read(entry.value, join(path, key), scope, before)
            else:
                value = None if row.kind.read is None else row.kind.read(entry, join(path, key), scope)
            if value is not None:
                values[row.target] = value
        return values

    def read(self, node: Node, path: str, scope: Scope, base: _Value | None = None) -> _Value | None:
        """Returns `base` changed by what is written here; a new value without a base. None with a problem reported."""
        entries = self.entries(node, path, scope, complete=base is None)
        if entries is None:
            return base
        values = self.values(entries, path, scope, base)
        if base is None and any(each.required and each.target not in values for each in self.fields):
            return None
        made: _Value = self.make(**values) if base is None else dataclasses.replace(base, **values)  # type: ignore[type-var]
        if self.check is not None:
            self.check(made, entries, path, scope.report)
        return made

    def default(self, row: Field) -> Any:
        """The default of the value's class if the key is absent; None if it has none."""
        return default_of(self.make, row.target) if dataclasses.is_dataclass(self.make) else None

    def default_text(self, row: Field) -> str:
        """The default as written in the file; "" if there is none."""
        default = self.default(row)
        return "" if default is None else row.kind.text(default)

    def text(self, value: _Value) -> str:
        """The keys that differ from an empty section, as written in the file."""
        keys = [each for each in self.fields if getattr(value, each.target) != self.default(each)]
        written = ", ".join(f"{each.key}: {each.kind.text(getattr(value, each.target))}" for each in keys)
        return f"{{{written}}}" if written else ""

    def schema(self, *, complete: bool = True) -> Schema:
        """An object with only these keys. Not `complete`: required keys may come from elsewhere."""
        made: Schema = {"type": "object", "properties": {each.key: self._schema(each) for each in self.fields}}
        if self.ignored:
            made["patternProperties"] = {f"^{self.ignored}": {"description": "Not read: a place for anchors."}}
        made["additionalProperties"] = False
        if self.doc:
            made["description"] = self.doc
        required = [each.key for each in self.fields if each.required and complete]
        return {**made, "required": required} if required else made

    def shape(self) -> Schema:
        """The schema below another section: a reference, or the schema for changing a value from `defaults`."""
        return reference(self.name) if self.shared else self.schema(complete=False)

    def _schema(self, row: Field) -> Schema:
        """The schema of the kind, with the description of the row."""
        sentences = [row.doc]
        if isinstance(row.kind, Kind):
            sentences.append(row.kind.written)
        if default := row.default or self.default_text(row):
            sentences.append(f"Default: {default}.")
        shape = row.kind.shape() if isinstance(row.kind, Section) else or_variable(row.kind.schema)
        return {**shape, "description": " ".join(filter(None, sentences))}


def default_of(made: Any, attribute: str) -> Any:
    """The default of a dataclass's attribute; None if it has none or does not exist."""
    for each in dataclasses.fields(made):
        if each.name == attribute:
            if each.default is not dataclasses.MISSING:
                return each.default
            return None if each.default_factory is dataclasses.MISSING else each.default_factory()
    return None


def join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
