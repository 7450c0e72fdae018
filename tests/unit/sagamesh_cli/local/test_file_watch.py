"""When a file counts as changed, by looks that are fed by hand; and what a look sees of a disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sagamesh_cli.local.file_watch import FileLook, FileWatch, look

GONE = (None,)


def file(content: str, changed: int = 1, size: int | None = None, name: str = "a.yaml") -> FileLook:
    return FileLook(name, changed, len(content) if size is None else size, content.encode())


def seen(watch: FileWatch, *looks: FileLook | None) -> list[bool]:
    """What each look at one file shows; what is shown is taken."""
    shown = []
    for each in looks:
        shown.append(watch.see((each,)))
        if shown[-1]:
            watch.take((each,))
    return shown


def test_nothing_is_no_change() -> None:
    assert seen(FileWatch((file("old"),)), file("old"), file("old")) == [False, False]


def test_a_change_is_taken_once_at_its_second_look() -> None:
    new = file("new", 2)
    assert seen(FileWatch((file("old"),)), file("old"), new, new, new, new) == [False, False, True, False, False]


def test_a_file_in_two_halves_is_one_change() -> None:
    whole = file("whole", 4)
    assert seen(FileWatch((file("old"),)), file("wh", 3), whole, whole) == [False, False, True]


@pytest.mark.parametrize("half", [file("", 2), file("new", 3), file("new", 2, size=9), file("ne", 2, size=3), None])
def test_whatever_differs_keeps_it_from_resting(half: FileLook | None) -> None:
    """An editor empties and fills a file in one tick of its clock, and with as many bytes."""
    watch = FileWatch((file("old"),))
    assert seen(watch, half, file("new", 2), half, file("new", 2), file("new", 2)) == [False, False, False, False, True]


def test_a_file_that_is_gone_for_a_moment_is_none_that_is_gone() -> None:
    new = file("new", 2)
    assert seen(FileWatch((file("old"),)), None, new, new) == [False, False, True]
    assert seen(FileWatch((file("old"),)), None, None, None, new, new) == [False, True, False, False, True]


def test_a_file_that_is_written_again_as_it_was_is_no_change() -> None:
    assert seen(FileWatch((file("old"),)), file("old", 2), file("old", 2), file("old", 2)) == [False] * 3


def test_what_is_not_taken_is_shown_again() -> None:
    watch = FileWatch((file("old"),))
    assert [watch.see((file("new"),)) for _ in range(3)] == [False, True, True]


def test_what_was_once_may_come_again() -> None:
    watch = FileWatch((file("old"),))
    assert seen(watch, file("bad", 2), file("bad", 2), file("old", 3), file("old", 3)) == [False, True, False, True]


def test_all_files_rest_before_one_is_taken() -> None:
    other, new = file("1", name="b.yaml"), file("new", 2)
    watch = FileWatch((file("old"), other))
    moving = other._replace(changed_ns=2)
    assert [watch.see(looks) for looks in [(new, other), (new, moving), (new, moving)]] == [False, False, True]


def test_a_look_sees_content_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("one")
    [first] = look([str(path)])
    os.utime(path, ns=(1, 1))
    [touched] = look([str(path)])
    path.write_text("two")
    os.utime(path, ns=(1, 1))
    [second] = look([str(path)])
    assert first is not None
    assert second is not None
    assert touched == first._replace(changed_ns=1)
    assert (second.name, second.size, second.changed_ns) == (str(path), 3, 1)
    assert second.content != first.content


def test_what_cannot_be_read_is_not_there(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    names = [tmp_path / "none.yaml", tmp_path, tmp_path / "pipe", "-", "a\0b"]
    assert look(map(str, names)) == GONE * len(names)
