"""Rules to bytes and back, as JSON, and the hash of their content. Registers have a `codec` of their own, in `log`.

Pinned by a golden test: documents are never rewritten, so what was written once must be read for ever. Unknown fields
are ignored, an unknown `format` is unreadable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec import Struct, json

from sagamesh.errors import UnreadableError
from sagamesh.log.payload import UNDECODABLE
from sagamesh.rules.local import FORMAT, LocalRules


class _Format(Struct):
    """What is read first, since an unknown format may lack fields that this one must have."""

    format: int = FORMAT


_FORMAT = json.Decoder(_Format)
_READER = json.Decoder(LocalRules)


def encode_rules(rules: LocalRules) -> bytes:
    """One document of the rules bucket."""
    return json.encode(rules)


def decode_rules(document: bytes) -> LocalRules:
    """Raises UnreadableError for bytes that are no rules, or of a format that this version cannot read."""
    try:
        found = _FORMAT.decode(document).format
        if found == FORMAT:
            return _READER.decode(document)
    except UNDECODABLE as error:
        raise UnreadableError(f"this is no rules document: {error}") from error
    mend = (
        "what they began must be ended by the version that wrote them" if found < FORMAT else "upgrade what reads them"
    )
    raise UnreadableError(f"rules of format {found}; this version reads format {FORMAT}: {mend}")


def revision(documents: Mapping[str, LocalRules]) -> str:
    """The content hash of a projection: 10 hex digits, the same for all participants and for the same spec.

    40 bits: among a thousand revisions of one saga two are alike once in two million times.
    """
    digest = hashlib.sha256(b"{")  # of one JSON document, of which never more than one participant's part is there
    for index, name in enumerate(sorted(documents)):
        plain = {**msgspec.to_builtins(documents[name]), "revision": ""}
        digest.update(b"," * bool(index))
        digest.update(json.encode({name: plain}, order="sorted")[1:-1])
    digest.update(b"}")
    return digest.hexdigest()[:10]
