"""What both fronts answer to almost correct requests: the path that was probably meant, the query parameter at
fault.

A path is quoted only if it is plain, so that both fronts interpret it alike and it is safe in JSON.
"""

from __future__ import annotations

# Segments without a leading dot and without percent-encoding. Both fronts match the path as received. This is
# Envoy's pattern; deploy/nginx/errors.conf has the same one without groups, since Nginx would remember every
# iteration.
PLAIN_PATH = "(/[A-Za-z0-9_~:@+-][A-Za-z0-9._~:@+-]*|/)+"
# At most this much of the path is quoted.
PLAIN_PATH_CHARACTERS_MAX = 200

_CHAT = "POST /v1/chat/completions"
_ELSEWHERE = "See GET /docs for all paths."
# Patterns of whole paths, ignoring case; the first match determines the hint. The part before is a base URL with too
# much or too little: no /v1, /v1 twice, the call's own path, a double slash. Each is linear in the length of the
# path even with backtracking (Nginx).
NEAR: tuple[tuple[str, str], ...] = (
    (
        r"/(.*/)?deployments/.*",
        "The paths are POST /openai/deployments/NAME/chat/completions, .../completions and .../embeddings: the endpoint of "
        "Azure's clients is this gateway's URL without a path.",
    ),
    (r"/(.*/)?chat/+completions/*", f"Use {_CHAT}: the base URL of OpenAI's clients ends in /v1."),
    (r"/(.*/)?completions/*", "Use POST /v1/completions: the base URL of OpenAI's clients ends in /v1."),
    (r"/(.*/)?embed(dings)?/*", "Use POST /v1/embeddings: the base URL of OpenAI's clients ends in /v1."),
    (
        r"/(.*/)?models(/.*)?",
        "Use GET /v1/models or GET /v1/models/NAME: the base URL of OpenAI's clients ends in /v1.",
    ),
    (r"/(.*/)?messages/*", "Use POST /v1/messages: the base URL of Anthropic's clients ends before /v1."),
    (r"/(.*/)?responses(/.*)?", "Use POST /v1/responses: the base URL of OpenAI's clients ends in /v1."),
    (r"/(.*/)?(chat|generate(content)?|invoke|invocations)/*", f"Use {_CHAT}."),
    (
        r"/(.*/)?(audio|images|moderations|files|batches|assistants|threads|fine_tuning|realtime|rerank)(/.*)?",
        f"Chat, completions and embeddings are served here: {_CHAT}, for one.",
    ),
    (r"/(.*/)?(health(z|check)?|livez|readyz|ready|live|ping|status)/*", "Use GET /health."),
    (r"/(.*/)?metrics/*", "Metrics are served on a separate port (--metrics)."),
    (r"/(docs|swagger|redoc|openapi)(\.json|\.yaml|/.*)?", "Use GET /docs or GET /openapi.json."),
    (r".*", _ELSEWHERE),
)
# For a request whose fault is not in its query.
MALFORMED = (
    "The request is malformed. Use only documented query parameters, each once; GET takes no body; this port requires "
    "HTTPS."
)
# For a front that is out of a resource.
UNREADY = (
    "The gateway is out of file descriptors or memory, or its users file cannot be read or has no user. "
    "Try again shortly."
)
