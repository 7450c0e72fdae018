"""What the process of `judging` runs: a spec in, what becomes of it out, until nobody asks any more.

It has so much memory and no more: where a spec takes all of it, that is the answer, and the operator beside it, in the
same container, is not killed.
"""

from __future__ import annotations

import resource
import struct
import sys
from typing import BinaryIO

import msgspec

from sagamesh_operator.sagas.acceptance import judge, too_expensive

LENGTH = struct.Struct(">I")
"""Before each message, either way: of how many bytes it is."""

MOST_MEMORY = 192 << 20
"""Bytes of addresses: a fifth of it is used before the first spec, and the worst one takes half."""


def answer(question: bytes) -> bytes:
    try:
        return msgspec.json.encode(judge(msgspec.json.decode(question)))
    except MemoryError:
        return msgspec.json.encode(too_expensive(f"over {MOST_MEMORY >> 20} MiB of memory"))


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Until the end of the questions."""
    while head := questions.read(LENGTH.size):
        (length,) = LENGTH.unpack(head)
        said = answer(questions.read(length))
        answers.write(LENGTH.pack(len(said)) + said)
        answers.flush()


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
