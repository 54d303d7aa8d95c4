"""The users file as Envoy takes it: a discovery file, read again whenever another is moved into its place."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

from sidecar.front.settings import write

_log = logging.getLogger("sidecar")
# {SHA} and 28 letters of base64, the one hash that Envoy knows. It refuses a whole file for one other line.
_LINE = re.compile(r"[^:\s]+:\{SHA\}[A-Za-z0-9+/]{27}=")
# Envoy wants at least one user. Nobody knows a password whose SHA-1 is all zeros, and no user's name has a "!".
_NOBODY = "!nobody:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA="


def write_users(users_file: Path, target: Path) -> None:
    """Rewrites `target` from the users file; a running Envoy follows in milliseconds. OSError.

    A line Envoy would refuse is left out, and said in the log: that user comes in through Nginx only.
    """
    lines: dict[str, str] = {}
    text = users_file.read_text() if users_file.exists() else ""
    for line in text.split("\n"):
        name = line.partition(":")[0]
        if _LINE.fullmatch(line):
            lines.setdefault(name, line)  # the first of a name counts, as with Nginx
        elif line and not line.startswith("#"):
            _log.warning("%s: user %.64r cannot come in through Envoy: it knows {SHA} only", users_file, name)
    resource = {
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": "users",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.basic_auth.v3.BasicAuth",
            "users": {"inline_string": "\n".join(lines.values() or [_NOBODY]) + "\n"},
            "forward_username_header": "x-sidecar-user",
        },
    }
    write(target, json.dumps({"resources": [resource]}))
