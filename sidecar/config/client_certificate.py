"""`client_certificate:` of a route: chain and key, read and validated together with the config, and kept. Losing,
truncating or mismatching the files later has no effect."""

from __future__ import annotations

import os.path
import re
import ssl
import time
from functools import lru_cache

from sidecar.config import fields
from sidecar.config.problems import Report
from sidecar.config.scope import Scope
from sidecar.config.yaml_tree import MappingEntry
from sidecar.domain.client_certificate import ClientCertificate, EncryptedKeyError
from sidecar.domain.secret import Secret

KEYS = ("certificate", "key")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]*-----END CERTIFICATE-----")
_KEY_BEGIN = re.compile(r"-----BEGIN ([A-Z0-9 ]{0,32}PRIVATE KEY)-----")


def client_certificate(entry: MappingEntry, path: str, scope: Scope) -> ClientCertificate | None:
    """Returns None with a problem reported. What a worker could not use is refused here, with its line."""
    report, line = scope.report, entry.line
    if scope.sources.read_secret is not None:
        hint = "a route managed through the API cannot name files"
        report.error(line, path, "is only allowed in the config file", hint)
        return None
    entries = fields.mapping(entry.value, path, report, KEYS)
    if entries is None:
        return None
    if "certificate" not in entries:
        report.error(line, f"{path}.certificate", "is missing")
        return None
    names = {name: fields.text(each.value, f"{path}.{name}", report) for name, each in entries.items()}
    if None in names.values():
        return None
    files = {name: _file(entries[name], f"{path}.{name}", written or "", scope) for name, written in names.items()}
    if None in files.values():
        return None
    certificate = files["certificate"] or ""
    key = files.get("key") or certificate
    chain, secret, expires_s, problem = _pair(certificate, key)
    if problem:
        about = entries.get("key", entries["certificate"]) if "key" in problem else entries["certificate"]
        report.error(about.line, path, problem)
        return None
    _warn_of_end(expires_s, line, path, report)
    where = os.path.join(scope.directory, names["certificate"] or "")
    key_where = os.path.join(scope.directory, names.get("key") or names["certificate"] or "")
    return ClientCertificate(where, key_where, chain, secret, expires_s)


def _file(entry: MappingEntry, path: str, written: str, scope: Scope) -> str | None:
    line = entry.value.line
    try:
        content = scope.sources.file(written)
    except OSError as error:
        scope.report.error(line, path, f"cannot be read: {error.strerror or type(error).__name__}")
        return None
    if content is None:
        hint = "paths start at the config file's directory"
        scope.report.error(line, path, f'file "{written}" does not exist', hint)
    return content


def _warn_of_end(expires_s: int, line: int, path: str, report: Report) -> None:
    if expires_s <= time.time():
        report.warn(line, path, "contains an expired certificate", "the provider will refuse it")


@lru_cache(maxsize=64)
def _pair(certificate: str, key: str) -> tuple[str, Secret, int, str]:
    """Returns chain, key, expiry of the first certificate, and what is wrong, or ""."""
    nothing = Secret("")
    found = _CERTIFICATE.findall(certificate)
    if not found or len(found) != certificate.count("-----BEGIN CERTIFICATE-----"):
        return "", nothing, 0, "the certificate file contains no PEM certificate, or is truncated"
    private = _private_key(key)
    if not private:
        return "", nothing, 0, "the key file contains no PEM private key, or is truncated"
    chain, secret = "\n".join(found) + "\n", Secret(private)
    made = ClientCertificate("", "", chain, secret)
    try:
        made.show_in(ssl.create_default_context(cadata=found[0]))
    except EncryptedKeyError:
        return "", nothing, 0, "the key is encrypted, and a passphrase cannot be entered"
    except ssl.SSLError as error:
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        return "", nothing, 0, _MISMATCH if mismatch else "the certificate or the key is damaged"
    except (OSError, ValueError):
        return "", nothing, 0, "the certificate or the key is damaged"
    return chain, secret, _expires_s(found[0]), ""


def _private_key(content: str) -> str:
    """Returns the first PEM block of a private key, including the headers of an encrypted one; "" if there is none,
    or it has no end."""
    begin = _KEY_BEGIN.search(content)
    if begin is None:
        return ""
    last = f"-----END {begin[1]}-----"
    end = content.find(last, begin.end())
    return "" if end < 0 else content[begin.start() : end + len(last)]


_MISMATCH = "the certificate and the key do not match"


def _expires_s(pem: str) -> int:
    from cryptography import x509  # imported late: few configs have a client certificate

    return int(x509.load_pem_x509_certificate(pem.encode("ascii")).not_valid_after_utc.timestamp())
