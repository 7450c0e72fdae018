"""The certificates by which the API server knows the injector: made, renewed and given up. No I/O; time is handed in.

A *generation* is a CA and the one certificate that it has ever signed. The key of the CA is forgotten as soon as it has
signed, so whoever reads the Secret can sign nothing. To renew is to change generations, in this order:

1. The next generation is made, and its CA joins the bundle, beside the current one.
2. When every API server has had the time to learn the bundle (`Schedule.settle`), the next one becomes the current one.
3. The old CA stays in the bundle until it expires, and with it the last certificate that a replica could still serve.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SKEW = timedelta(hours=1)
"""Certificates are dated back by this much: clocks differ, though rarely by minutes."""
BUNDLE = "ca.crt"
CURRENT = ("tls.crt", "tls.key")
NEXT = ("next.crt", "next.key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long a generation lasts, and with it when everything else is due. Ninety days and two thirds are custom."""

    lifetime: timedelta = timedelta(days=90)

    @property
    def renew(self) -> timedelta:
        """How old it is when the next one is made."""
        return self.lifetime * 2 / 3

    @property
    def settle(self) -> timedelta:
        """How long the CA of the next one stands in the webhook before it is used: API servers take seconds.

        A twentieth where generations are short, as in tests, so that all three steps have room in one.
        """
        return min(timedelta(minutes=5), self.lifetime / 20)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate to serve and its key, in PEM."""

    certificate: bytes
    key: bytes

    @property
    def expiry(self) -> datetime:
        return _parsed(self).not_valid_after_utc


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """All that the Secret holds. `bundle`: certificates of CAs, each in PEM, in the order in which they were made."""

    bundle: tuple[bytes, ...] = ()
    current: Pair | None = None
    next: Pair | None = None


def plan(held: Keyring, now: datetime, name: str, schedule: Schedule, *, settled: bool) -> Keyring:
    """What the Secret should hold; the same as `held`: nothing is to be done.

    `name`: the DNS name that is served. `settled`: the CA of the next generation has stood in the webhook for so long
    that every API server knows it.
    """
    bundle = tuple(one for one in held.bundle if _certificate(one).not_valid_after_utc > now)
    current = held.current if _serves(held.current, bundle, now, name) else None
    following = held.next if _serves(held.next, bundle, now, name) else None
    if following is not None and (settled or current is None):
        return Keyring(bundle=bundle, current=following)
    if current is None:
        authority, current = generation(name, now, schedule)
        return Keyring(bundle=(*bundle, authority), current=current)
    if following is None and now >= _due(current, schedule):
        authority, following = generation(name, now, schedule)
        bundle = (*bundle, authority)
    return replace(held, bundle=bundle, current=current, next=following)


def generation(name: str, now: datetime, schedule: Schedule) -> tuple[bytes, Pair]:
    """A new CA, in PEM, and the one certificate that it ever signs."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"sagamesh injector {now:%Y-%m-%dT%H:%M:%SZ}")])
    subject = x509.Name([])  # a common name has 64 letters at most; it is the alternative name that counts
    authority_id = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = (
        _builder(issuer, issuer, authority_key, now, schedule)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(authority_id, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        _builder(subject, issuer, key, now, schedule)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_id), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = serialization.Encoding.PEM
    return authority.public_bytes(pem), Pair(certificate.public_bytes(pem), private)


def authority(pair: Pair, bundle: tuple[bytes, ...]) -> bytes | None:
    """Which CA of a bundle has signed this certificate."""
    for one in bundle:
        try:
            _parsed(pair).verify_directly_issued_by(_certificate(one))
        except (ValueError, TypeError, InvalidSignature):
            continue
        return one
    return None


def to_secret(keyring: Keyring) -> dict[str, str]:
    """The `data` of the Secret."""
    data = {BUNDLE: b"".join(keyring.bundle)}
    for keys, pair in ((CURRENT, keyring.current), (NEXT, keyring.next)):
        if pair is not None:
            data |= zip(keys, (pair.certificate, pair.key), strict=True)
    return {key: base64.b64encode(value).decode() for key, value in data.items()}


def from_secret(data: Mapping[str, str]) -> Keyring:
    """What a Secret holds. What is missing or spoilt in it counts as not there: it will be made anew."""
    held = {key: _decoded(data.get(key, "")) for key in (BUNDLE, *CURRENT, *NEXT)}
    pairs = [Pair(held[certificate], held[key]) for certificate, key in (CURRENT, NEXT)]
    current, following = (pair if is_pair(pair) else None for pair in pairs)
    return Keyring(bundle=bundled(held[BUNDLE]), current=current, next=following)


def bundled(pem: bytes) -> tuple[bytes, ...]:
    """The certificates of a bundle, one by one; none where it is spoilt."""
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError:
        return ()
    return tuple(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, schedule: Schedule
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + schedule.lifetime)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _serves(pair: Pair | None, bundle: tuple[bytes, ...], now: datetime, name: str) -> bool:
    """Whether an API server that knows the bundle would believe this pair, now and by this name."""
    if pair is None or authority(pair, bundle) is None:
        return False
    try:
        names = _parsed(pair).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return pair.expiry > now and name in names.get_values_for_type(x509.DNSName)


def _due(pair: Pair, schedule: Schedule) -> datetime:
    """When the next generation is to be made, whichever schedule this one was made by."""
    made = _parsed(pair).not_valid_before_utc + SKEW
    return made + min(schedule.renew, (pair.expiry - made) * 2 / 3)


def is_pair(pair: Pair) -> bool:
    try:
        key = serialization.load_pem_private_key(pair.key, password=None)
        return key.public_key() == _parsed(pair).public_key()
    except (ValueError, TypeError):
        return False


def _parsed(pair: Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate)


def _certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
