"""Determines address and credentials from the target, the arguments and the environment.

    host:port  grpc://host:port  unix:PATH          gRPC without TLS (with `ca`: with TLS)
    grpcs://user:password@host:port  dns:///...     gRPC over TLS
    https://user:password@host  http://host:port    REST

Without a target: SIDECAR_URL, else SIDECAR_GRPC_LOCAL, as set by `. .sidecar/env`. Credentials and CA of that file
are only used for its own addresses.
"""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote, urlsplit

from llm_gateway_client.errors import TargetError

_REST = ("https", "http")
_HTTPS_PORT = 443
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Target:
    """`address` is a URL without credentials for REST, otherwise a gRPC target. `authorization` is the header's
    value."""

    rest: bool
    address: str
    tls: bool
    ca: str | None = None
    """PEM file of the CAs to trust; None: the system's."""
    authorization: str | None = field(default=None, repr=False)
    loopback: bool = False

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("A target holds a credential and cannot be pickled.")

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca)


def resolve(
    target: str | None = None,
    *,
    user: str | None = None,
    password: str | None = None,
    api_key: str | None = None,
    ca: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> Target:
    """Raises TargetError, which never quotes a secret."""
    env = os.environ if env is None else env
    if target is None:
        target = env.get("SIDECAR_URL") or env.get("SIDECAR_GRPC_LOCAL")
        if not target:
            raise TargetError("No target: give one, or set SIDECAR_URL (`. .sidecar/env` does).")
    text, in_url = _split(target)
    own = _address(text) in {_address(value) for name in ("SIDECAR_URL", "SIDECAR_GRPC") if (value := env.get(name))}
    authorization = _authorization(in_url, user, password, api_key, env if own else {})
    authority = os.fspath(ca) if ca is not None else (env.get("SIDECAR_CA") if own else None)
    if authority is not None and not Path(authority).is_file():
        raise TargetError(f"The CA file {authority} does not exist.")
    return _checked(_made(text, authority, authorization))


def _split(target: str) -> tuple[str, tuple[str, str] | None]:
    """Returns the target without its credentials, and the credentials."""
    scheme, mark, rest = target.partition("://")
    host, slash, path = rest.partition("/")
    userinfo, at, address = host.rpartition("@")
    if not mark or not at:
        if not mark and "@" in target and not target.startswith(("unix:", "dns:")):
            raise TargetError("Only https:// and grpcs:// targets can hold credentials.")
        return target, None
    user, colon, password = userinfo.partition(":")
    if not user or not colon:
        raise TargetError("A target's credential is user:password, percent-encoded where needed.")
    return f"{scheme}://{address}{slash}{path}", (unquote(user), unquote(password))


def _address(text: str) -> str:
    """host:port, for comparing the addresses of two texts."""
    scheme, mark, rest = text.partition("://")
    host = (rest if mark else text).strip("/").partition("/")[0]
    return host if ":" in host.rpartition("]")[2] else f"{host}:{_PORTS.get(scheme, _HTTPS_PORT)}"


def _authorization(
    in_url: tuple[str, str] | None,
    user: str | None,
    password: str | None,
    api_key: str | None,
    env: Mapping[str, str],
) -> str | None:
    """Returns the header's value. Raises TargetError if more than one credential is given."""
    sources = [in_url, (user, password) if user is not None or password is not None else None, api_key]
    given = [each for each in sources if each is not None]
    if len(given) > 1:
        raise TargetError("Give one credential: in the target, as user and password, or as api_key.")
    if not given and env.get("SIDECAR_API_KEY"):
        given = [env["SIDECAR_API_KEY"]]
    if not given:
        return None
    credential = given[0]
    if isinstance(credential, str):
        return f"Bearer {credential}"
    name, secret = credential
    if not name or secret is None:
        raise TargetError("Give user and password together.")
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def _made(text: str, ca: str | None, authorization: str | None) -> Target:
    scheme, mark, rest = text.partition("://")
    if mark and scheme in _REST:
        url = urlsplit(text)
        if not url.hostname or url.query or url.fragment:
            raise TargetError(f"Not the address of a gateway: {text}")
        return Target(True, text.rstrip("/"), scheme == "https", ca, authorization, _is_loopback(url.hostname))
    if text.startswith("unix:"):
        return Target(False, text, False, None, authorization, True)
    if text.startswith("dns:"):
        return Target(False, text, True, ca, authorization, False)
    if mark and scheme not in ("grpc", "grpcs"):
        raise TargetError(f"Unknown scheme {scheme}://. Use http, https, grpc, grpcs, unix: or dns:.")
    address = (rest if mark else text).rstrip("/")
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or not host:
        raise TargetError(f"A gRPC target is host:port, not {address!r}.")
    tls = scheme == "grpcs" if mark else ca is not None
    return Target(False, address, tls, ca, authorization, _is_loopback(host.strip("[]")))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _checked(target: Target) -> Target:
    if target.authorization is not None and not target.tls and not target.loopback:
        raise TargetError(f"A credential would go to {target.address} in clear. Use https:// or grpcs://.")
    return target
