"""The users file for Envoy: a discovery file, which Envoy rereads whenever the file is replaced by a rename."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

from sidecar.front.settings import write
from sidecar.identity.users import numbered_lines

_log = logging.getLogger("sidecar")
# {SHA} and 28 base64 letters, the only hash that Envoy supports. It rejects the whole file for a single other line.
# A third field and a Windows line end, which hand-written files may have, are dropped; deploy/nginx/auth.js accepts
# the same.
_LINE = re.compile(r"([^:\x00-\x1f\x7f]{1,256}):(\{SHA\}[A-Za-z0-9+/]{27}=)(?::[^\n]*)?\r?")
# Envoy requires at least one user. No known password has a SHA-1 of all zeros, and user names cannot contain "!".
_NOBODY = "!nobody:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA="


def write_users(users_file: Path, target: Path) -> None:
    """Rewrites `target` from the users file; a running Envoy picks it up within milliseconds. Raises OSError.

    Lines that Envoy would reject are skipped and logged: those users can only log in through Nginx.
    """
    lines: dict[str, str] = {}
    for number, line in numbered_lines(users_file):
        name = line.partition(":")[0]
        if name in lines:
            continue  # the first line of a name counts, as in Nginx
        if match := _LINE.fullmatch(line):
            lines[name] = f"{match[1]}:{match[2]}"
        else:
            words = "%s:%d: User %.64r cannot log in through Envoy. Write the line as name:{SHA}hash."
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
