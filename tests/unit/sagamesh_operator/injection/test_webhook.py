"""The webhook over TLS: a certificate that changes drops nobody, large pods pass, and what is stopped says so."""

from __future__ import annotations

import asyncio
import io
import json
import re
import ssl
from datetime import UTC, datetime

import aiohttp

from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.injection.certificates import Schedule, generation
from sagamesh_operator.injection.container import Installation
from sagamesh_operator.injection.events import Remark
from sagamesh_operator.injection.webhook import LARGEST, Injector
from support.builders.pods import MIB, app_container, pod

NAME = "localhost"
INSTALLATION = Installation(image="example.org/sidecar:1", nats="nats://nats:4222")


def review(size: int = 0, *makers: JsonObject) -> bytes:
    large = pod(containers=[app_container(args=["x" * size])])
    large["metadata"]["ownerReferences"] = list(makers)
    asked = {"uid": "u", "kind": {"kind": "Pod"}, "operation": "CREATE", "namespace": "shop", "object": large}
    return json.dumps({"request": asked}).encode()


def trusting(*authorities: bytes) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=b"".join(authorities).decode())


def requests(injector: Injector, result: str) -> float:
    found = re.search(
        rf'^sagamesh_injector_requests_total{{result="{result}"}} (\S+)$', exposed(injector), re.MULTILINE
    )
    assert found
    return float(found[1])


def exposed(injector: Injector) -> str:
    return injector.metrics.exposition()[0].decode()


def test_a_new_certificate_is_for_new_connections_and_old_ones_stand() -> None:
    async def scenario() -> None:
        injector = Injector(INSTALLATION)
        (old_authority, old), (new_authority, new) = (generation(NAME, datetime.now(UTC), Schedule()) for _ in "12")
        assert injector.ready() == "there is no certificate yet"
        injector.use(old)
        assert injector.ready() == ""
        async with injector.listening("127.0.0.1", 0) as port, aiohttp.ClientSession() as stands:
            url = f"https://{NAME}:{port}/inject"
            ask = {"data": review(), "ssl": trusting(old_authority)}
            async with stands.post(url, **ask) as first:
                assert first.status == 200
                before = first.connection.transport.get_extra_info("sockname") if first.connection else None
            injector.use(new)
            async with stands.post(url, **ask) as second:
                assert second.status == 200, "over the connection that stands"
                after = second.connection.transport.get_extra_info("sockname") if second.connection else None
                assert before == after
            async with (
                aiohttp.ClientSession() as fresh,
                fresh.post(url, data=review(), ssl=trusting(new_authority)) as third,
            ):
                assert third.status == 200

    asyncio.run(scenario())


def test_pods_of_three_mebibytes_pass_and_nonsense_does_not() -> None:
    async def scenario() -> None:
        injector = Injector(INSTALLATION)
        authority, pair = generation(NAME, datetime.now(UTC), Schedule())
        injector.use(pair)
        async with injector.listening("127.0.0.1", 0) as port, aiohttp.ClientSession() as session:

            async def status(body: bytes) -> int:
                async with session.post(
                    f"https://{NAME}:{port}/inject", data=io.BytesIO(body), ssl=trusting(authority)
                ) as answer:
                    return answer.status

            assert await status(review(3 * MIB)) == 200
            assert await status(b"nonsense") == 400
            assert await status(b"x" * (LARGEST + 1)) == 413
            assert (requests(injector, "injected"), requests(injector, "unreadable")) == (1, 2)

    asyncio.run(scenario())


def test_what_is_to_be_told_of_a_pod_is_handed_over() -> None:
    async def scenario() -> None:
        heard: list[Remark] = []
        injector = Injector(INSTALLATION, heard.append)
        authority, pair = generation(NAME, datetime.now(UTC), Schedule())
        injector.use(pair)
        job = {"apiVersion": "batch/v1", "kind": "Job", "name": "nightly", "uid": "u-1", "controller": True}
        async with injector.listening("127.0.0.1", 0) as port, aiohttp.ClientSession() as session:
            for body in (review(), review(0, job)):
                async with session.post(f"https://{NAME}:{port}/inject", data=body, ssl=trusting(authority)) as answer:
                    assert answer.status == 200
        assert [(each.maker["name"], each.note.reason) for each in heard] == [("nightly", "SidecarInjected")]

    asyncio.run(scenario())


def test_one_that_is_stopped_answers_but_keeps_nobody() -> None:
    async def scenario() -> None:
        injector = Injector(INSTALLATION)
        authority, pair = generation(NAME, datetime.now(UTC), Schedule())
        injector.use(pair)
        injector.stopping = True
        assert injector.ready() == "it is being stopped"
        async with injector.listening("127.0.0.1", 0) as port, aiohttp.ClientSession() as session:
            url = f"https://{NAME}:{port}/inject"
            async with session.post(url, data=review(), ssl=trusting(authority)) as answer:
                assert (answer.status, answer.headers["Connection"]) == (200, "close")

    asyncio.run(scenario())


def test_one_whose_certificate_has_expired_is_not_ready() -> None:
    injector = Injector(INSTALLATION)
    _, pair = generation(NAME, datetime(2020, 1, 1, tzinfo=UTC), Schedule())
    injector.use(pair)
    assert injector.ready().startswith("the certificate has expired")
