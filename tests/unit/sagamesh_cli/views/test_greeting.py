"""What `dev` says of itself once it runs."""

from __future__ import annotations

from sagamesh.language import spec
from sagamesh_cli.views.greeting import greeting

SAGA = spec.read(
    {
        "apiVersion": "sagamesh.dev/v1alpha1",
        "kind": "Saga",
        "metadata": {"name": "small", "namespace": "shop"},
        "spec": {
            "start": {"participant": "solo", "event": "asked", "key": "event.data.id"},
            "steps": [{"name": "first", "participant": "duo", "after": ["asked"], "action": {"path": "/first"}}],
        },
    }
)


def test_it_names_sagas_addresses_and_how_to_start_one() -> None:
    apis = {"solo": "http://127.0.0.1:1", "duo": "http://127.0.0.1:22"}
    apps = {"duo": "http://127.0.0.1:4"}
    assert greeting([SAGA], "nats://127.0.0.1:5", apis, apps) == [
        "small: 1 step, started by asked at solo",
        "  nats  nats://127.0.0.1:5",
        "  solo  http://127.0.0.1:1   no app: it only starts sagas",
        "  duo   http://127.0.0.1:22  app http://127.0.0.1:4",
        "start one: sagamesh start asked --url http://127.0.0.1:1 --data '{...}'",
    ]
