"""What expressions see of the log; and data there that no version of ours has written."""

from __future__ import annotations

import pytest
from msgspec import Raw

from sagamesh.errors import UnreadableError
from sagamesh.protocol.variables import decoded


@pytest.mark.parametrize("data", [b'"\\ud800"', b"[" * 5000 + b"]" * 5000, b"1e999", b'"\xff"', b"{", b""])
def test_data_that_are_no_json_are_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableError, match="the data of an event in the log are no JSON"):
        decoded(Raw(data))


def test_data_are_read() -> None:
    assert decoded(Raw(b'{"a": [1, null]}')) == {"a": [1, None]}
