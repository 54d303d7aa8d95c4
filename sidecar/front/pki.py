"""A private CA and the front's server certificate, for installations without a certificate of their own.

Files in the state directory: ca.pem (clients trust this), ca.key, tls.crt (server and CA), tls.key. Keys have mode
0600.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_log = logging.getLogger("sidecar")
_CA_DAYS = 3650
# Apple's clients reject server certificates that are valid for more than 825 days, even from a private CA.
_SERVER_DAYS = 397
_RENEW_BEFORE = timedelta(days=30)
# Clocks of machines differ.
_CLOCK_SKEW = timedelta(hours=1)
_COMMON_NAME_CHARACTERS_MAX = 64

_Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of the files. `ca` is what clients need to trust."""

    ca: Path
    certificate: Path
    key: Path


def ensure_certificates(folder: Path, hosts: tuple[str, ...] = (), now: datetime | None = None) -> Certificates:
    """Creates what is missing, expires within 30 days, or does not cover all of `hosts`, localhost and this
    machine.

    `hosts` are DNS names or addresses; wildcard addresses (0.0.0.0, ::) are skipped. A new CA is created only if the
    old one is missing, unreadable or about to expire, because it has to be distributed to all clients. Raises
    OSError; ValueError for a name that a certificate cannot contain.
    """
    moment = now or datetime.now(UTC)
    files = Certificates(folder / "ca.pem", folder / "tls.crt", folder / "tls.key")
    names = _names(hosts)
    authority = _load(files.ca, folder / "ca.key", moment)
    if authority is None:
        if files.ca.exists():
            _log.warning(
                "%s and ca.key are no longer used: they are damaged, do not match, or are about to expire. A new CA was created, "
                "which all clients have to trust. To keep the old one, restore both files from a backup and start again.",
                files.ca,
            )
        authority = _make_authority(moment)
        _write(folder / "ca.key", _key_bytes(authority[1]))
        _write(files.ca, _certificate_bytes(authority[0]), 0o644)
    server = _load(files.certificate, files.key, moment)
    if server is None or not _serves(server[0], authority[0], names):
        if files.certificate.exists():
            _log.info("%s was replaced by a new certificate of the same CA.", files.certificate)
        certificate, key = _make_server(authority, names, moment)
        _write(files.key, _key_bytes(key))
        _write(files.certificate, _certificate_bytes(certificate) + _certificate_bytes(authority[0]), 0o644)
    return files


def check_pair(certificate: Path, key: Path) -> None:
    """Checks an operator's own files. Raises ValueError unless they are a PEM chain and its unencrypted key;
    OSError."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            certificate, key, password=lambda: b""
        )  # OpenSSL would prompt for a password
    except ssl.SSLError as error:
        why = f": {error.reason}" if error.reason else ""
        raise ValueError(f"{certificate} and {key} are not a PEM chain and its unencrypted key{why}") from None


def first_certificate(text: str) -> str:
    """Returns the first certificate of a PEM chain, the server's own. Raises ValueError if there is none."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    first, _, _ = text.partition(end)
    return f"{first[first.index(begin) :]}{end}"


@dataclass(frozen=True, slots=True)
class Described:
    """The contents of a certificate. `ends_s` is a Unix time."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    ends_s: float


def describe(pem: str) -> Described:
    """Describes the first certificate of a PEM chain. Raises ValueError."""
    certificate = x509.load_pem_x509_certificate(first_certificate(pem).encode())
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(str(each.value) for each in found)
    except x509.ExtensionNotFound:
        names = ()
    subject, issuer = (_common_name(each) for each in (certificate.subject, certificate.issuer))
    return Described(subject, issuer, names, certificate.not_valid_after_utc.timestamp())


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()


def _names(hosts: tuple[str, ...]) -> list[x509.GeneralName]:
    names: dict[str, x509.GeneralName] = {}
    for host in ("localhost", "127.0.0.1", "::1", *hosts, socket.gethostname()):
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            names[host.lower()] = x509.DNSName(host.lower())
        else:
            if not address.is_unspecified:
                names[str(address)] = x509.IPAddress(address)
    return list(names.values())


def _load(certificate: Path, key: Path, now: datetime) -> _Pair | None:
    """Returns None if they are missing, broken, do not match, or are due for renewal."""
    try:
        loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != loaded.public_key():
        return None
    if not loaded.not_valid_before_utc <= now < loaded.not_valid_after_utc - _RENEW_BEFORE:
        return None
    return loaded, private


def _serves(certificate: x509.Certificate, authority: x509.Certificate, names: list[x509.GeneralName]) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
        stated = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, x509.ExtensionNotFound, InvalidSignature):
        return False
    return set(stated) == set(names)


def _make_authority(now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject("LLM gateway sidecar private CA")
    builder = _builder(subject, subject, key, now, _CA_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return builder.sign(key, hashes.SHA256()), key


def _make_server(authority: _Pair, names: list[x509.GeneralName], now: datetime) -> _Pair:
    ca, ca_key = authority
    key = ec.generate_private_key(ec.SECP256R1())
    ca_key_id = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_key_id)
    builder = _builder(_subject("LLM gateway sidecar"), ca.subject, key, now, _SERVER_DAYS)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    builder = builder.add_extension(issuer_id, critical=False)
    return builder.sign(ca_key, hashes.SHA256()), key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - _CLOCK_SKEW).not_valid_after(now + timedelta(days=days))


def _subject(text: str) -> x509.Name:
    host = socket.gethostname()
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{text} {host}"[:_COMMON_NAME_CHARACTERS_MAX])])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    pem = serialization.Encoding.PEM
    return key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _certificate_bytes(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, content: bytes, mode: int = 0o600) -> None:
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(fresh, owner.st_uid, owner.st_gid)
    fresh.rename(path)
