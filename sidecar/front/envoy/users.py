"""The users file for Envoy: a discovery file, which Envoy rereads whenever the file is replaced by a rename."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

from sidecar.front.settings import write
from sidecar.identity.users import NOBODY, numbered_lines

_log = logging.getLogger("sidecar")
# {SHA} and 28 base64 letters, the only hash that Envoy supports. It rejects the whole file for a single other line.
# A third field and a Windows line end, which hand-written files may have, are dropped; deploy/nginx/auth.js accepts
# the same.
_LINE = re.compile(r"([^:\x00-\x1f\x7f]{1,256}):(\{SHA\}[A-Za-z0-9+/]{27}=)(?::[^\n]*)?\r?")
_EXTENSIONS = "type.googleapis.com/envoy.extensions.filters.http"
# If the file lets nobody in, no caller is at fault: everybody gets 503, with the text of replies.py.
_UNREADY = {
    "@type": f"{_EXTENSIONS}.fault.v3.HTTPFault",
    "abort": {"http_status": 503, "percentage": {"numerator": 100}},
}


def write_users(users_file: Path, target: Path) -> str:
    """Rewrites `target` from the users file; a running Envoy picks it up within milliseconds.

    If the file cannot be read or has no user, Envoy answers 503. Returns why it lets nobody in ("": it has a user).
    Raises OSError if it cannot be read.

    Lines that Envoy would reject are skipped and logged: those users can only log in through Nginx.
    """
    unreadable: OSError | None = None
    try:
        lines = _lines(users_file)
    except OSError as error:
        lines, unreadable = [], error
    known = {
        "@type": f"{_EXTENSIONS}.basic_auth.v3.BasicAuth",
        "users": {"inline_string": "\n".join(lines) + "\n"},
        "forward_username_header": "x-sidecar-user",
    }
    resource = {
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": "users",
        "typed_config": known if lines else _UNREADY,
    }
    text = json.dumps({"resources": [resource]})
    if not target.exists() or target.read_text() != text:  # a file that stays unreadable is looked at again and again
        write(target, text)
    if unreadable is not None:
        raise unreadable
    return "" if lines else NOBODY


def _lines(users_file: Path) -> list[str]:
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
    return list(lines.values())
