"""The tree of errors, as its page draws it."""

from __future__ import annotations

import re

from sagamesh import errors
from sagamesh.errors import SagameshError


def test_the_picture_shows_every_error() -> None:
    drawn = re.findall(r"^[├└]── (\w+) ", errors.__doc__ or "", re.MULTILINE)
    assert drawn == [each.__name__ for each in SagameshError.__subclasses__() if each.__module__ == errors.__name__]
