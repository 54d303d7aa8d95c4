"""Origins of web pages, as operators allow them and as browsers send them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

ANY: Final = "*"  # any origin


@dataclass(frozen=True, slots=True)
class Origin:
    """An allowed origin. `host` may begin with "*." (any subdomain); `port` is "" for the scheme's default and "*"
    for any."""

    scheme: str
    host: str
    port: str

    @classmethod
    def parsed(cls, text: str) -> Origin | None:
        """Parses `scheme://host[:port]` in lower case, as browsers send it; returns None for anything else."""
        found = _ORIGIN.fullmatch(text)
        if found is None or ("*" in text and found["host"].startswith("[")):
            return None
        return cls(found["scheme"], found["host"], found["port"] or "")

    @property
    def exact(self) -> bool:
        return "*" not in self.host and self.port != "*"

    @property
    def text(self) -> str:
        return f"{self.scheme}://{self.host}" + (f":{self.port}" if self.port else "")

    @property
    def pattern(self) -> str:
        """A regular expression for the whole value of an Origin header."""
        host = re.escape(self.host.removeprefix("*."))
        if self.host.startswith("*."):
            host = rf"(?:[a-z0-9-]+\.)+{host}"
        port = {"": "", "*": "(?::[0-9]+)?"}.get(self.port, f":{self.port}")
        return f"{re.escape(self.scheme)}://{host}{port}"


_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>(?:\*\.)?[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}|\*))?"
)
