"""What is written to a file from now on: whole lines, each once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sagamesh_cli.local.log_tail import LogTail, tailing


def test_whole_lines_are_told_once_and_nothing_of_before(tmp_path: Path) -> None:
    path, told = tmp_path / "log", list[bytes]()
    path.write_bytes(b"of a run before\n")
    tail = LogTail(path, told.append)
    with path.open("ab", buffering=0) as log:
        for piece, lines in ((b"a\nb", [b"a"]), (b"", []), (b"c", []), (b"\n\nd\n", [b"bc", b"", b"d"])):
            log.write(piece)
            tail.look()
            assert told == lines
            told.clear()


def test_a_file_that_comes_later_is_told_whole(tmp_path: Path) -> None:
    path, told = tmp_path / "log", list[bytes]()
    tail = LogTail(path, told.append)
    tail.look()
    path.write_bytes(b"a\n")
    tail.look()
    assert told == [b"a"]


def test_it_is_told_while_it_runs_and_what_comes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "log"

    async def play() -> list[bytes]:
        told: list[bytes] = []
        first = asyncio.Event()

        def tell(line: bytes) -> None:
            told.append(line)
            first.set()

        async with asyncio.timeout(10), tailing(path, tell):
            path.write_bytes(b"a\n")
            await first.wait()
            with path.open("ab") as log:
                log.write(b"b\n")
        return told

    assert asyncio.run(play()) == [b"a", b"b"]
