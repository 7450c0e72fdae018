"""Which services the sagas of `dev` need, one for whoever owns steps and for nobody else; and which do not answer."""

from __future__ import annotations

import asyncio
import socket

import pytest

from sagamesh.language import spec
from sagamesh_cli.local.mesh import MeshOptions, check_options, silent
from sagamesh_cli.output import Complaint

SAGA = spec.read(
    {
        "apiVersion": "sagamesh.dev/v1alpha1",
        "kind": "Saga",
        "metadata": {"name": "small", "namespace": "shop"},
        "spec": {
            "start": {"participant": "desk", "event": "asked", "key": "event.data.id"},
            "steps": [{"name": "first", "participant": "solo", "after": ["asked"], "action": {"path": "/first"}}],
        },
    }
)
URL = "http://127.0.0.1:1"


@pytest.mark.parametrize("apps", [{"solo": URL}, {"solo": URL, "desk": URL}])
def test_who_only_starts_sagas_may_have_a_service(apps: dict[str, str]) -> None:
    check_options(MeshOptions(files=[], apps=apps, apis={"desk": 3650}), [SAGA])


@pytest.mark.parametrize(
    ("apps", "apis", "words"),
    [
        ({"desk": URL}, {}, "where does the service of solo listen? add --app solo=http://127.0.0.1:PORT"),
        ({"solo": URL, "other": URL}, {}, "--app other=…: no saga has this participant; there are desk, solo"),
        ({"solo": URL}, {"other": 1}, "--api other=…: no saga has this participant; there are desk, solo"),
        ({"solo": URL}, {"desk": 1, "solo": 1}, "--api gives one port to two participants"),
    ],
)
def test_what_is_missing_or_too_much_is_told_by_name(apps: dict[str, str], apis: dict[str, int], words: str) -> None:
    with pytest.raises(Complaint) as complaint:
        check_options(MeshOptions(files=[], apps=apps, apis=apis), [SAGA])
    assert str(complaint.value) == words


def test_silent_are_those_who_own_steps_and_do_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        there, nobody = (f"http://127.0.0.1:{one.getsockname()[1]}" for one in (listening, held))
        for apps, missed in (
            ({"solo": nobody, "desk": nobody}, {"solo": nobody}),
            ({"solo": there, "desk": nobody}, {}),
            ({}, {}),
        ):
            assert asyncio.run(silent(MeshOptions(files=[], apps=apps), [SAGA])) == missed
