"""The URL of a call: the format's path below the base URL, unless the provider's row overrides it."""

from __future__ import annotations

from adapters.contract import Target

# RFC 3986, unreserved: all other characters are escaped in a path segment or a query value.
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def url_of(target: Target, path: str) -> str:
    """The row's `path` option replaces `path`, with its `{model}` filled in; the route's `query` option follows."""
    own: str | None = target.provider.options.get("path")
    url = target.base_url + (path if own is None else own.replace("{model}", escaped(target.model)))
    return url + query_of(target)


def query_of(target: Target) -> str:
    """The route's `query` option with its question mark; "" if there is none."""
    query: dict[str, str] | None = target.options.get("query")
    if not query:
        return ""
    return "?" + "&".join(f"{escaped(name)}={escaped(value)}" for name, value in query.items())


def names_model(target: Target) -> bool:
    """Whether the URL contains the model, so that the body need not; some servers refuse it there."""
    return "{model}" in target.provider.options.get("path", "")


def escaped(text: str) -> str:
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in text.encode("utf-8", "replace"))
