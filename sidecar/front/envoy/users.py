"""The users file as Envoy takes it: a discovery file, read again whenever another is moved into its place."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

from sidecar.front.settings import write
from sidecar.identity.users import numbered_lines

_log = logging.getLogger("sidecar")
# {SHA} and 28 letters of base64, the one hash that Envoy knows. It refuses a whole file for one other line. What may follow in a
# file that somebody wrote, a third field and a line end of Windows, is left off; deploy/nginx/auth.js takes the same.
_LINE = re.compile(r"([^:\x00-\x1f\x7f]{1,256}):(\{SHA\}[A-Za-z0-9+/]{27}=)(?::[^\n]*)?\r?")
# Envoy wants at least one user. Nobody knows a password whose SHA-1 is all zeros, and no user's name has a "!".
_NOBODY = "!nobody:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA="


def write_users(users_file: Path, target: Path) -> None:
    """Rewrites `target` from the users file; a running Envoy follows in milliseconds. OSError.

    A line Envoy would refuse is left out, and said in the log: that user comes in through Nginx only.
    """
    lines: dict[str, str] = {}
    for number, line in numbered_lines(users_file):
        name = line.partition(":")[0]
        if name in lines:
            continue  # the first of a name counts, as with Nginx
        if match := _LINE.fullmatch(line):
            lines[name] = f"{match[1]}:{match[2]}"
        else:
            words = "%s:%d: User %.64r cannot come in through Envoy: the line must be name:{SHA}hash."
            _log.warning(words, users_file, number, name)
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
