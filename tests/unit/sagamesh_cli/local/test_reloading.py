"""What is said of files that change while sagas run: once for each change, and nothing of half a file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sagamesh.language.model import Saga
from sagamesh_cli.errors import EnvironmentFault
from sagamesh_cli.local import reloading
from sagamesh_cli.local.file_watch import look
from sagamesh_cli.local.mesh import LocalMesh, MeshOptions, read_sagas
from sagamesh_cli.local.reloading import Reloader

TEXT = """
apiVersion: sagamesh.dev/v1alpha1
kind: Saga
metadata: {name: small, namespace: shop}
spec:
  start: {participant: desk, event: asked, key: event.data.id}
  steps:
    - {name: first, participant: solo, after: [asked], readOnly: true, action: {path: /first}}
"""
OTHER = TEXT.replace("/first", "/other")
COMPLAINT = "sagamesh: the files changed, but the old revisions stay: "


class Desk:
    """A file, whoever watches it, and what is said. The revision of a saga is the path of its first action."""

    def __init__(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.file = file
        self.capsys = capsys
        self.fault: EnvironmentFault | None = None
        self.told: list[str] = []
        self.learned: list[Saga] = []
        file.write_text(TEXT)
        looks, sagas = look([str(file)]), read_sagas([str(file)])
        options = MeshOptions(files=[str(file)], apps={"solo": "http://127.0.0.1:1"})
        self.mesh = LocalMesh(
            options=options,
            sagas=sagas,
            nats="",
            urls={},
            members={"solo": None, "desk": None},  # type: ignore[dict-item]
            server=None,
            revisions=of(sagas),
        )
        self.reloader = Reloader(self.mesh, looks, self.learned.extend)

    async def provision(self, nats: str, sagas: list[Saga], **options: object) -> dict[str, str]:
        assert self.learned[-len(sagas) :] == sagas, "there may be instances of them from now on"
        if self.fault is not None:
            raise self.fault
        return of(sagas)

    async def tell(self, mesh: LocalMesh, sagas: list[Saga], stop: asyncio.Event) -> None:
        self.told += [saga.steps[0].action.path for saga in sagas]

    def look(self, times: int = 4) -> tuple[str, str]:
        """Look so often; what is said on stdout and stderr."""
        for _ in range(times):
            asyncio.run(self.reloader.turn(asyncio.Event()))
        said = self.capsys.readouterr()
        return said.out, said.err


def of(sagas: list[Saga]) -> dict[str, str]:
    return {saga.name: saga.steps[0].action.path for saga in sagas}


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(tmp_path / "a.yaml", capsys)
    monkeypatch.setattr(reloading, "provision", made.provision)
    monkeypatch.setattr(reloading, "tell_revisions", made.tell)
    return made


def test_a_changed_file_becomes_a_revision_once(desk: Desk) -> None:
    assert desk.look() == ("", "")
    desk.file.write_text(OTHER)
    assert desk.look(1) == ("", "")
    assert desk.told == []
    assert desk.look() == ("", "")
    assert desk.told == ["/other"]
    assert desk.mesh.revisions == {"small": "/other"}
    assert of(desk.learned) == {"small": "/other"}


def test_a_wrong_file_is_told_once_and_again_when_it_changed_again(desk: Desk) -> None:
    desk.file.write_text(TEXT[:-20])
    out, err = desk.look()
    assert (out, err.count(COMPLAINT)) == ("", 1)
    desk.file.write_text(TEXT[:-20])  # saved again as it is
    assert desk.look() == ("", "")
    desk.file.write_text(TEXT[:-30])
    assert desk.look()[1].count(COMPLAINT) == 1
    assert desk.told == []
    assert desk.mesh.revisions == {"small": "/first"}


def test_a_file_that_is_good_again_is_told(desk: Desk) -> None:
    good = "the files are good again, and mean what they meant before\n"
    for text, said, told in ((TEXT, good, []), (OTHER, "", ["/other"]), (OTHER, good, [])):
        desk.file.write_text("half: [")
        assert desk.look()[1].count(COMPLAINT) == 1
        desk.file.write_text(text)
        assert desk.look() == (said, "")
        assert desk.told == told
        desk.told.clear()


def test_what_says_the_same_in_other_words_is_no_news(desk: Desk) -> None:
    desk.file.write_text(f"# a comment\n{TEXT}")
    assert desk.look() == ("", "")
    assert desk.told == []


def test_a_file_that_is_written_while_it_is_read_is_read_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_half(files: list[str]) -> list[Saga]:
        monkeypatch.setattr(reloading, "read_sagas", read_sagas)
        desk.file.write_text("half: [")
        try:
            return read_sagas(files)
        finally:
            desk.file.write_text(OTHER)

    desk.file.write_text(OTHER + "# first")
    monkeypatch.setattr(reloading, "read_sagas", read_half)
    assert desk.look() == ("", "")
    assert desk.told == ["/other"]


def test_what_nats_does_not_take_is_told_once_and_taken_when_it_can_be(desk: Desk) -> None:
    desk.fault = EnvironmentFault("NATS does not answer")
    desk.file.write_text(OTHER)
    assert desk.look() == ("", f"{COMPLAINT}NATS does not answer\n")
    assert desk.look() == ("", "")
    assert desk.mesh.revisions == {"small": "/first"}
    desk.fault = None
    assert desk.look() == ("", "")
    assert desk.told == ["/other"]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (TEXT.replace("/first", "third"), "must be a path"),
        (f"{TEXT.partition('spec:')[0]}spec: {{}}\n", "spec.steps must be"),
        (TEXT.replace("participant: solo", "participant: duo"), "the new participant duo has no sidecar here"),
        (TEXT.replace("participant: solo", "participant: desk"), "desk comes to own a step, and has no service here"),
        (TEXT.replace("name: small", "name: tall"), "a saga was added, removed or renamed"),
        (TEXT.replace("namespace: shop", "namespace: bar"), "moved to another namespace"),
        (None, "there is no file"),
    ],
)
def test_what_is_wrong_is_told_and_changes_nothing(wrong: str | None, reason: str, desk: Desk) -> None:
    if wrong is None:
        desk.file.unlink()
    else:
        desk.file.write_text(wrong)
    out, err = desk.look()
    assert (out, err.count(COMPLAINT)) == ("", 1)
    assert reason in err
    assert desk.told == []
    assert desk.mesh.revisions == {"small": "/first"}
    desk.file.write_text(OTHER)
    assert desk.look() == ("", "")
    assert desk.told == ["/other"]
