"""What both fronts say to a request that is almost right: the path that was meant, the query parameter at fault.

A path is repeated only where it is plain: it then means the same to both fronts, and is safe in JSON as it stands.
"""

from __future__ import annotations

# Segments that neither begin with a dot nor hold anything that is written as %41. Both fronts look at the path as it came.
# It is Envoy's pattern; deploy/nginx/errors.conf has the same one without a group, of which Nginx would remember each turn.
PLAIN_PATH = "(/[A-Za-z0-9_~:@+-][A-Za-z0-9._~:@+-]*|/)+"
# So much of it is repeated.
PLAIN_PATH_CHARACTERS_MAX = 200

_CHAT = "POST /v1/chat/completions"
_ELSEWHERE = "GET /docs lists the paths."
# Patterns of a whole path, case ignored; the first that matches says what there is. What stands before is a base URL with too
# much or too little in it: without /v1, with it twice, with the call's own path, two slashes.
# Each is linear in the path also where it is tried by going back (Nginx).
NEAR: tuple[tuple[str, str], ...] = (
    (
        r"/(.*/)?deployments/.*",
        "There are POST /openai/deployments/NAME/chat/completions, .../completions and .../embeddings: the endpoint of Azure's "
        "clients is this gateway's URL without a path.",
    ),
    (r"/(.*/)?chat/+completions/*", f"There is {_CHAT}: a base URL for OpenAI's clients ends in /v1."),
    (r"/(.*/)?completions/*", "There is POST /v1/completions: a base URL for OpenAI's clients ends in /v1."),
    (r"/(.*/)?embed(dings)?/*", "There is POST /v1/embeddings: a base URL for OpenAI's clients ends in /v1."),
    (
        r"/(.*/)?models(/.*)?",
        "There are GET /v1/models and GET /v1/models/NAME: a base URL for OpenAI's clients ends in /v1.",
    ),
    (r"/(.*/)?messages/*", "There is POST /v1/messages: a base URL for Anthropic's clients ends before /v1."),
    (r"/(.*/)?responses(/.*)?", "There is POST /v1/responses: a base URL for OpenAI's clients ends in /v1."),
    (r"/(.*/)?(chat|generate(content)?|invoke|invocations)/*", f"There is {_CHAT}."),
    (
        r"/(.*/)?(audio|images|moderations|files|batches|assistants|threads|fine_tuning|realtime|rerank)(/.*)?",
        f"Chat, completions and embeddings are served here: {_CHAT}, for one.",
    ),
    (r"/(.*/)?(health(z|check)?|livez|readyz|ready|live|ping|status)/*", "There is GET /health."),
    (r"/(.*/)?metrics/*", "Metrics are on a port of their own (--metrics)."),
    (r"/(docs|swagger|redoc|openapi)(\.json|\.yaml|/.*)?", "There are GET /docs and GET /openapi.json."),
    (r".*", _ELSEWHERE),
)
# Of a request that is malformed in another way than by its query.
MALFORMED = (
    "The request is malformed. Query parameters are those of the documentation, each once; GET takes no body; this port speaks "
    "HTTPS."
)
# Of a front that ran out of something.
UNREADY = "The gateway has no file descriptors or no memory left, or cannot read its users. Try again shortly."
