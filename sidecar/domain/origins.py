"""Origins of web pages, as an operator allows them and as browsers write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

ANY: Final = "*"  # every origin


@dataclass(frozen=True, slots=True)
class Origin:
    """One that may call. `host` may begin with "*." (every subdomain); `port` is "" for the scheme's own and "*" for any."""

    scheme: str
    host: str
    port: str

    @classmethod
    def parsed(cls, text: str) -> Origin | None:
        """Of `scheme://host[:port]`, in lower case, as browsers write it; None for anything else."""
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
        """A regular expression for the whole of an Origin header."""
        host = re.escape(self.host.removeprefix("*."))
        if self.host.startswith("*."):
            host = rf"(?:[a-z0-9-]+\.)+{host}"
        port = {"": "", "*": "(?::[0-9]+)?"}.get(self.port, f":{self.port}")
        return f"{re.escape(self.scheme)}://{host}{port}"


_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>(?:\*\.)?[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}|\*))?"
)
