"""The injector, asked by a real API server: by Service and endpoints, as on any cluster."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.adapters import kubernetes
from sagamesh_operator.injection.certificates import Schedule, generation
from sagamesh_operator.injection.events import PAUSE, Journal, Remark
from sagamesh_operator.resource import Note
from support.builders.pods import GOOD, MIB, REFUSED, app_container, pod
from support.processes import injecting
from support.processes.injecting import NAME, SECRET, SYSTEM, Injector
from support.processes.stage import run
from support.servers.control_plane import Cluster, ControlPlane, until

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"


class World:
    """Two replicas of the injector, and a namespace whose pods they see."""

    def __init__(self, cluster: Cluster, namespace: str, address: str, replicas: list[Injector]) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.address = address
        self.replicas = replicas

    async def kubectl(self, *arguments: object, **how: Any) -> str:
        done = await asyncio.to_thread(self.cluster.kubectl, "-n", self.namespace, *arguments, **how)
        return done.stdout if done.returncode == 0 else done.stderr

    async def create(self, document: JsonObject) -> JsonObject | str:
        """The pod as it is stored; a text: why it was refused."""
        said = await self.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(document), check=False)
        return json.loads(said) if said.startswith("{") else said

    async def served(self) -> None:
        """Wait until the API server reaches the injector: it learns of endpoints a moment later."""
        async with asyncio.timeout(30):
            while isinstance(await self.create(pod(name="probe")), str):
                await asyncio.sleep(0.05)


Scenario = Callable[[World], Awaitable[None]]
Play = Callable[..., None]


@contextlib.asynccontextmanager
async def world(cluster: Cluster, namespace: str, directory: Path, **settings: str) -> AsyncIterator[World]:
    address = injecting.own_address()
    if address is None:
        pytest.skip("this machine has no address but loopback, and the API server takes none of those as endpoints")
    await injecting.install(cluster, *injecting.given())
    replicas = [Injector(cluster, directory / str(number), address, **settings) for number in range(2)]
    try:
        ports = await asyncio.gather(*(each.start() for each in replicas))
        await injecting.install(cluster, *injecting.service(address, list(ports)))
        built = World(cluster, namespace, address, replicas)
        await built.served()
        yield built
    finally:
        await asyncio.gather(*(each.stop() for each in replicas if each.process))
        for kind, name in (("mutatingwebhookconfiguration", NAME), ("secret", SECRET)):
            cluster.kubectl("delete", kind, name, "-n", SYSTEM)


@pytest.fixture
def play(resources: Cluster, namespace: str, tmp_path: Path) -> Play:
    """Plays a scenario in a world of its own."""

    async def whole(scenario: Scenario, **settings: str) -> None:
        async with world(resources, namespace, tmp_path, **settings) as built:
            await scenario(built)

    return lambda scenario, **settings: run(whole(scenario, **settings), 200.0)


def named(document: JsonObject, name: str) -> JsonObject:
    return document | {"metadata": document["metadata"] | {"name": name}}


def sidecars(document: JsonObject) -> list[str]:
    """Where a stored pod has its sidecars."""
    spec = document["spec"]
    return [
        field
        for field in ("initContainers", "containers")
        for each in spec.get(field, ())
        if each["name"] == "sagamesh-sidecar"
    ]


def test_good_pods_get_one_and_others_are_refused(play: Play) -> None:
    async def scenario(world: World) -> None:
        for number, (what, document) in enumerate(GOOD.items()):
            stored = await world.create(named(document, f"good-{number}"))
            assert isinstance(stored, dict), f"{what}: {stored}"
            native = document["metadata"].get("annotations", {}).get("sagamesh.dev/native-sidecar") != "false"
            assert sidecars(stored) == ["initContainers" if native else "containers"], what
        for number, (what, (document, words)) in enumerate(REFUSED.items()):
            said = await world.create(named(document, f"refused-{number}"))
            assert isinstance(said, str), what
            assert f'admission webhook "{injecting.WEBHOOK_ENTRY}" denied the request: ' in said
            assert words in said, what
        bare = await world.create(pod(name="bare", participant=None, hostNetwork=True))
        assert isinstance(bare, dict)
        assert sidecars(bare) == []
        results = {
            result: sum([await each.metric(f'requests_total{{result="{result}"}}') for each in world.replicas])
            for result in ("injected", "unchanged", "refused", "unreadable")
        }
        assert results["injected"] >= len(GOOD)
        assert results["refused"] == len(REFUSED)
        assert results["unreadable"] == 0

    play(scenario)


def test_a_pod_of_a_restricted_namespace_and_one_that_is_made_again(play: Play) -> None:
    async def scenario(world: World) -> None:
        level = "pod-security.kubernetes.io/enforce=restricted"
        await world.kubectl("label", "namespace", world.namespace, level)
        stored = await world.create(pod(name="strict", initContainers=[app_container("prepare")]))
        assert isinstance(stored, dict), stored
        assert sidecars(stored) == ["initContainers"]
        again = {**stored, "metadata": {**stored["metadata"], "name": "again", "resourceVersion": None, "uid": None}}
        copied = await world.create(again)
        assert isinstance(copied, dict), copied
        assert sidecars(copied) == ["initContainers"]
        refused = await world.create(pod(name="lax", containers=[app_container(securityContext={})]))
        assert "violates PodSecurity" in str(refused), "the level is enforced"

    play(scenario)


def test_the_largest_pod_that_is_stored_passes(play: Play) -> None:
    async def scenario(world: World) -> None:
        large = await world.create(pod(name="large", containers=[app_container(args=["x" * (MIB * 14 // 10)])]))
        assert isinstance(large, dict), large[-300:]
        huge = await world.create(pod(name="huge", containers=[app_container(args=["x" * (MIB * 28 // 10)])]))
        assert re.search("too large|larger than max", str(huge)), "it is the store that has no room for it"
        assert [await each.metric('requests_total{result="unreadable"}') for each in world.replicas] == [0, 0]

    play(scenario)


def test_while_it_is_down_only_those_who_ask_are_refused(play: Play) -> None:
    async def scenario(world: World) -> None:
        assert [await each.stop() for each in world.replicas] == [0, 0]
        refused = await world.create(pod(name="wants-one"))
        assert f'failed calling webhook "{injecting.WEBHOOK_ENTRY}"' in str(refused)
        assert isinstance(await world.create(pod(name="bare", participant=None)), dict)
        system = pod(name="in-system")
        for namespace in ("kube-system", SYSTEM):
            how = ("create", "-n", namespace, "--dry-run=server", "-f", "-")
            await asyncio.to_thread(world.cluster.kubectl, *how, stdin=json.dumps(system))

    play(scenario)


@pytest.mark.timeout(300)
def test_500_pods_across_a_rotation_and_none_is_refused(play: Play) -> None:
    """A certificate of a minute: after forty seconds the next one is made, and served three seconds later."""

    async def scenario(world: World) -> None:
        cluster = world.cluster
        assert isinstance(cluster, ControlPlane)
        before = [await each.metric("certificate_expiry_timestamp_seconds") for each in world.replicas]
        url = f"{cluster.url}/api/v1/namespaces/{world.namespace}/pods"
        headers = {"Authorization": f"Bearer {cluster.token('admin')}"}
        made, loaded = 0, 0
        async with aiohttp.ClientSession(headers=headers) as session:
            while made < 500 or loaded < 1:
                documents = [pod(name=f"p{made + number}") for number in range(5)]
                answers = await asyncio.gather(*(create(session, url, each) for each in documents))
                for status, text in answers:
                    assert status == 201, text
                    assert '"sagamesh-sidecar"' in text
                made += len(answers)
                loaded = min(each.log.read_text().count("certificate loaded") - 1 for each in world.replicas)
        after = [await each.metric("certificate_expiry_timestamp_seconds") for each in world.replicas]
        assert all(new > old for new, old in zip(after, before, strict=True))
        assert [await each.probe("readyz") for each in world.replicas] == [200, 200]

    play(scenario, SAGAMESH_CERTIFICATE_LIFETIME="60s")


async def create(session: aiohttp.ClientSession, url: str, document: JsonObject) -> tuple[int, str]:
    async with session.post(url, json=document, ssl=False) as answer:
        return answer.status, await answer.text()


JOB = {"apiVersion": "batch/v1", "kind": "Job", "name": "nightly-29", "uid": "a-job's", "controller": True}


def of_a_job(name: str, **fields: Any) -> JsonObject:
    document = pod(name=name, **fields)
    return document | {"metadata": document["metadata"] | {"ownerReferences": [JOB]}}


def test_whoever_looks_at_a_job_finds_what_became_of_its_pods(play: Play) -> None:
    async def scenario(world: World) -> None:
        for each in (of_a_job("tried"), of_a_job("tried-in-vain", hostNetwork=True)):
            trial = ("create", "--dry-run=server", "-f", "-")
            await world.kubectl(*trial, stdin=json.dumps(each), check=False)
        assert isinstance(await world.create(of_a_job("good", containers=[app_container(ports=[])])), dict)
        refused = await world.create(of_a_job("refused", hostNetwork=True))
        assert isinstance(refused, str)
        reporter = ("--field-selector", "reportingComponent=sagamesh.dev/injector")
        found: list[JsonObject] = []
        async with asyncio.timeout(30):
            while len(found) < 2:
                found = json.loads(await world.kubectl("get", "events", *reporter, "-o", "json"))["items"]
        told = {each["reason"]: each for each in found}
        assert told.keys() == {"SidecarInjected", "SidecarRefused"}
        for each in found:
            assert each["type"] == "Warning"
            assert each.get("series") is None, "the trials were not counted"
            assert each["involvedObject"] == {key: JOB[key] for key in ("apiVersion", "kind", "name", "uid")} | {
                "namespace": world.namespace
            }
        assert "calls no app" in told["SidecarInjected"]["message"]
        assert told["SidecarRefused"]["message"].removeprefix("a pod was refused: ") in refused

    play(scenario)


def test_an_event_that_comes_again_is_counted(resources: Cluster, namespace: str) -> None:
    async def scenario() -> None:
        journal, begin = Journal("injector-1"), datetime.now(UTC)
        maker = {"apiVersion": "batch/v1", "kind": "Job", "namespace": namespace, "name": "nightly", "uid": "u-1"}
        remark = Remark(maker, Note("Warning", "SidecarRefused", "a pod was refused"))
        async with kubernetes.connect(str(resources.kubeconfig("injector"))) as cluster:
            journal.hear(remark, begin)
            [new] = journal.due(begin)
            assert new.document
            await cluster.create_event(new.document)
            journal.written(new, begin)
            journal.hear(remark, begin + PAUSE)
            [again] = journal.due(begin + PAUSE)
            assert again.series
            assert await cluster.repeat_event(namespace, again.name, again.series)
            get = ("get", "event", again.name, "-n", namespace, "-o", "jsonpath={.series.count}")
            assert resources.kubectl(*get).stdout == "2"
            resources.kubectl("delete", "event", again.name, "-n", namespace)
            assert not await cluster.repeat_event(namespace, again.name, again.series)

    asyncio.run(installed(resources))
    run(scenario(), 60.0)


async def installed(cluster: Cluster) -> None:
    """The injector's rights."""
    await injecting.install(cluster, *(each for each in injecting.given() if "Role" in each["kind"]))


def test_it_does_no_more_than_it_may(play: Play) -> None:
    before = datetime.now(UTC)

    async def scenario(world: World) -> None:
        assert isinstance(await world.create(of_a_job("good")), dict)
        async with asyncio.timeout(30):
            while not any(each["verb"] == "create" for each in world.cluster.audit("injector", since=before)):
                await asyncio.sleep(0.05)
        asked = world.cluster.audit("injector", since=before)
        assert {each["responseStatus"]["code"] for each in asked} <= {200, 201, 409}
        told = {(each["verb"], each.get("objectRef", {}).get("resource", each["requestURI"])) for each in asked}
        resources = ("secrets", "mutatingwebhookconfigurations")
        kept = {(verb, each) for verb in ("get", "update") for each in resources}
        assert told == {("get", "/version"), ("create", "events"), *kept}

    play(scenario)


def test_a_bundle_that_is_lost_comes_back(play: Play) -> None:
    async def scenario(world: World) -> None:
        gone = json.dumps([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}])
        await world.kubectl("patch", "mutatingwebhookconfiguration", NAME, "--type=json", "-p", gone)
        path = "jsonpath={.webhooks[0].clientConfig.caBundle}"
        get = ("get", "mutatingwebhookconfiguration", NAME, "-o", path)
        await asyncio.to_thread(until, lambda: world.cluster.kubectl(*get).stdout)
        await world.kubectl("delete", "pod", "probe", "--grace-period=0", "--force")
        await world.served()

    play(scenario, SAGAMESH_CERTIFICATE_LIFETIME="60s")


def test_certificates_of_somebody_else_are_served_and_read_again(resources: Cluster, tmp_path: Path) -> None:
    """Without any right: nothing is kept."""
    given = tmp_path / "given"
    given.mkdir()

    def renew() -> None:
        _, pair = generation(f"{NAME}.{SYSTEM}.svc", datetime.now(UTC), Schedule())
        (given / "tls.crt").write_bytes(pair.certificate)
        (given / "tls.key").write_bytes(pair.key)

    async def scenario() -> None:
        renew()
        lifetime = {"SAGAMESH_CERTIFICATE_LIFETIME": "30s"}  # so that it looks often
        settings = {"SAGAMESH_CERTIFICATE_DIR": str(given), "SAGAMESH_WEBHOOK": "", "SAGAMESH_CA_SECRET": ""}
        injector = Injector(resources, tmp_path / "injector", "127.0.0.1", **settings, **lifetime)
        await injector.start()
        renew()
        await asyncio.to_thread(until, lambda: injector.log.read_text().count("certificate loaded") == 2)
        assert await injector.stop() == 0

    run(scenario(), 60.0)


def services() -> list[tuple[str, JsonObject]]:
    """What the Deployments of the examples make: their names, and their pods as participants."""
    found = []
    for path in EXAMPLES.glob("*.yaml"):
        for each in yaml.safe_load_all(path.read_text()):
            if each["kind"] == "Deployment":
                name, template = each["metadata"]["name"], each["spec"]["template"]
                labels = {**template["metadata"]["labels"], "sagamesh.dev/participant": name}
                metadata = {"name": name, "labels": labels}
                found.append((name, {"apiVersion": "v1", "kind": "Pod", **template, "metadata": metadata}))
    return found


def test_the_services_of_the_examples_get_one_that_calls_them_where_they_listen(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.kubectl("label", "namespace", world.namespace, "pod-security.kubernetes.io/enforce=restricted")
        for name, document in services():
            stored = await world.create(document)
            assert isinstance(stored, dict), stored
            [sidecar] = stored["spec"]["initContainers"]
            [app] = stored["spec"]["containers"]
            told = {each["name"]: each.get("value") for each in sidecar["env"]}
            port = app["args"][app["args"].index("--port") + 1]
            assert (told["SAGAMESH_PARTICIPANT"], told["SAGAMESH_APP"]) == (name, f"http://127.0.0.1:{port}")

    assert len(services()) == 4
    play(scenario)
