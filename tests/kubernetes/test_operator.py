"""The operator as a process on a real API server and a real NATS: what it says, and what it survives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from sagamesh.distribution import buckets
from sagamesh.log.registers import streams
from sagamesh_jetstream.client.ports import JetStreamError, JsonObject
from sagamesh_jetstream.client.session import connect
from sagamesh_jetstream.upkeep.distribute import read_entries
from support.processes.operating import STEP, Operator, Sagas, operated, saga
from support.processes.stage import run
from support.servers.control_plane import Cluster, ControlPlane
from support.servers.nats_server import NatsServer
from support.servers.proxy import Wire

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "02-create-order" / "saga.yaml"


class World:
    """An operator, its NATS and its cluster."""

    def __init__(self, cluster: Cluster, namespace: str, nats: NatsServer, operator: Operator) -> None:
        self.sagas = Sagas(cluster, namespace)
        self.namespace = namespace
        self.cluster = cluster
        self.nats = nats
        self.operator = operator

    async def api(self, verb: str, body: JsonObject | None = None) -> JsonObject | None:
        """What NATS answers; None: it is not there."""
        async with connect(self.nats.url) as js:
            try:
                return await js.api(verb, body)
            except JetStreamError as refused:
                if refused.code == 404:
                    return None
                raise

    async def stream(self, saga: str) -> JsonObject | None:
        [name] = streams(self.namespace, saga)
        return await self.api(f"STREAM.INFO.{name}")

    async def entries(self, saga: str) -> dict[str, bytes]:
        """What the rules bucket holds about a saga, by subject."""
        wanted = {"subjects_filter": buckets.saga_subjects(self.namespace, saga)}
        async with connect(self.nats.url) as js:
            found = await js.api(f"STREAM.INFO.{buckets.RULES_STREAM}", wanted)
            subjects = [each for each in found["state"].get("subjects") or () if not each.endswith(".retired")]
            return await read_entries(js, subjects)

    async def active(self, participant: str, saga: str) -> str:
        return (await self.entries(saga))[buckets.active_subject(self.namespace, participant, saga)].decode()

    async def until_gone(self, saga: str) -> None:
        async with asyncio.timeout(30):
            while await self.stream(saga) is not None or await self.entries(saga):
                await asyncio.sleep(0.05)

    async def cluster_id(self) -> str:
        return await self.sagas.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")

    def writes(self, since: datetime) -> list[JsonObject]:
        """What the operator has changed in this namespace."""
        asked = self.cluster.audit("operator", since)
        ours = [each for each in asked if each.get("objectRef", {}).get("namespace") == self.namespace]
        return [each for each in ours if each["verb"] in ("create", "patch", "update", "delete")]

    async def quiet(self) -> None:
        """Wait until the operator has nothing to do for a while: three looks in a row."""
        idle = 0
        while idle < 3:
            idle = 0 if await self.operator.metric("queue_length") else idle + 1
            await asyncio.sleep(0.1)


Scenario = Callable[[World], Awaitable[None]]
Play = Callable[[Scenario], None]


@pytest.fixture
def play(resources: Cluster, cluster: Cluster, namespace: str, tmp_path: Path) -> Play:
    """Plays a scenario in a world of its own."""

    async def whole(scenario: Scenario) -> None:
        async with operated(cluster, namespace, tmp_path) as (nats, operator, _):
            await scenario(World(cluster, namespace, nats, operator))

    return lambda scenario: run(whole(scenario), 120.0)


def test_what_is_applied_stands_in_nats(play: Play) -> None:
    async def scenario(on: World) -> None:
        document = yaml.safe_load(EXAMPLE.read_text())
        await on.sagas.apply(document)
        distributed = await on.sagas.until("create-order", "Distributed", "True")
        assert "one server only" in distributed["message"]
        found = await on.stream("create-order")
        assert found is not None
        assert found["config"]["metadata"]["sagamesh.dev/installation"] == await on.cluster_id()
        status = (await on.sagas.get("create-order"))["status"]
        assert status["activeRevision"] == status["revision"]
        assert (status["steps"], status["participantCount"], status["replicas"]) == (6, 4, 1)
        ready = await on.sagas.until("create-order", "Ready", "False", "SidecarsMissing")
        assert ready["message"] == "no sidecar tells of itself at orders, consumers, kitchen, accounting"

    play(scenario)


def test_a_change_takes_one_patch_and_one_event_and_leaves_the_object_alone(play: Play) -> None:
    async def scenario(on: World) -> None:
        since = datetime.now(UTC)
        await on.sagas.apply(saga())
        await on.sagas.until("checkout", "Distributed", "True")
        await on.quiet()
        asked = [(each["verb"], each["objectRef"].get("subresource", "")) for each in on.writes(since)]
        assert asked == [("patch", "status"), ("create", "")]
        assert await on.sagas.events("checkout") == [
            ("Warning", "SidecarsMissing", "no sidecar tells of itself at orders, payments")
        ]
        metadata = (await on.sagas.get("checkout"))["metadata"]
        assert "finalizers" not in metadata
        assert set(metadata["annotations"]) == {"kubectl.kubernetes.io/last-applied-configuration"}

    play(scenario)


def test_what_the_checks_refuse_is_said_with_their_codes(play: Play) -> None:
    async def scenario(on: World) -> None:
        await on.sagas.apply(saga(steps=[{**STEP, "after": ["order.plced"]}]))
        accepted = await on.sagas.until("checkout", "Accepted", "False", "SM003")
        assert "SM003 error at spec.steps[0].after[0]: nobody announces 'order.plced'" in accepted["message"]
        assert "did you mean 'order.placed'?" in accepted["message"]
        await on.sagas.until("checkout", "Stalled", "True", "NotAccepted")
        await on.sagas.until("checkout", "Ready", "False", "NotAccepted")
        assert [event[:2] for event in await on.sagas.events("checkout")] == [("Warning", "Refused")]
        assert await on.stream("checkout") is None, "what is refused leaves no trace"

    play(scenario)


def test_a_refused_change_leaves_the_old_revision_active(play: Play) -> None:
    async def scenario(on: World) -> None:
        await on.sagas.apply(saga())
        await on.sagas.until("checkout", "Distributed", "True")
        before = (await on.sagas.get("checkout"))["status"]["activeRevision"]
        await on.sagas.apply(saga(steps=[{**STEP, "after": ["nobody.says.so"]}]))
        distributed = await on.sagas.until("checkout", "Distributed", "False", "NotAccepted")
        assert f"revision {before} stays active" in distributed["message"]
        assert (await on.sagas.get("checkout"))["status"]["activeRevision"] == before
        assert await on.active("orders", "checkout") == before
        await on.sagas.apply(saga(parkAfter="5m"))
        await on.sagas.until("checkout", "Distributed", "True")
        assert await on.active("orders", "checkout") != before

    play(scenario)


def test_a_change_that_changes_no_rules_is_the_same_revision(play: Play) -> None:
    async def scenario(on: World) -> None:
        await on.sagas.apply(saga())
        await on.sagas.until("checkout", "Distributed", "True")
        first = (await on.sagas.get("checkout"))["status"]["revision"]
        await on.sagas.apply(saga(parkAfter="600s"))
        await on.sagas.until("checkout", "Distributed", "True")
        assert (await on.sagas.get("checkout"))["status"]["revision"] == first

    play(scenario)


def test_what_changed_while_it_was_down_is_found_at_start(play: Play) -> None:
    async def scenario(on: World) -> None:
        for name in ("changed", "deleted", "kept"):
            await on.sagas.apply(saga(name))
            await on.sagas.until(name, "Distributed", "True")
        await on.operator.kill()
        await on.sagas.apply(saga("changed", parkAfter="1m"))
        await on.sagas.apply(saga("new"))
        await on.sagas.delete("deleted")
        since = datetime.now(UTC)
        await on.operator.start()
        await on.sagas.until("changed", "Distributed", "True")
        await on.sagas.until("new", "Distributed", "True")
        await on.until_gone("deleted")
        assert await on.stream("kept") is not None
        await on.quiet()
        about_kept = [each for each in on.writes(since) if each["objectRef"].get("name") == "kept"]
        assert about_kept == [], "of what has not changed nothing is said again"

    play(scenario)


def test_a_deleted_saga_is_gone_from_nats(play: Play) -> None:
    async def scenario(on: World) -> None:
        await on.sagas.apply(saga())
        await on.sagas.until("checkout", "Distributed", "True")
        await on.sagas.delete("checkout")
        await on.until_gone("checkout")
        assert await on.entries("checkout") == {}
        assert await on.operator.metric("saga_condition", namespace=on.namespace) is None
        await on.sagas.apply(saga())
        await on.sagas.until("checkout", "Distributed", "True")
        assert await on.stream("checkout") is not None

    play(scenario)


def test_a_crash_in_the_midst_of_many_changes_is_made_good(play: Play) -> None:
    async def scenario(on: World) -> None:
        names = [f"saga-{n}" for n in range(40)]
        for round_ in range(4):
            applying = asyncio.create_task(
                on.sagas.apply_many([saga(name, parkAfter=f"{round_ + 1}m") for name in names])
            )
            while sum([await on.stream(name) is not None for name in names[:5]]) < min(5, round_ + 1):
                await asyncio.sleep(0.01)
            await on.operator.kill()
            await applying
            await on.operator.start()
        for name in names:
            await on.sagas.until(name, "Distributed", "True", seconds=60)
            # F32: An operator that is killed again and again ends what it began when it stays
            assert await on.active("orders", name) == (await on.sagas.get(name))["status"]["revision"]

    play(scenario)


def test_the_api_server_may_be_killed(play: Play) -> None:
    async def scenario(on: World) -> None:
        await on.sagas.apply(saga("before"))
        await on.sagas.until("before", "Distributed", "True")
        await asyncio.to_thread(on.cluster.kill_api_server)
        await asyncio.to_thread(on.cluster.start_api_server)
        await on.sagas.apply(saga("after"))
        await on.sagas.until("after", "Distributed", "True")
        assert await on.operator.probe("livez") == 200
        assert on.operator.process is not None
        assert on.operator.process.returncode is None, "it was the same process all the time"

    play(scenario)


def test_while_nats_is_away_that_is_said_and_nothing_is_lost(play: Play) -> None:
    async def scenario(on: World) -> None:
        await on.sagas.apply(saga("before"))
        await on.sagas.until("before", "Distributed", "True")
        on.nats.kill()
        await on.sagas.until("before", "Distributed", "Unknown", "NatsUnavailable")
        await on.sagas.until("before", "Ready", "Unknown", "NatsUnavailable")
        await on.sagas.apply(saga("meanwhile"))
        told = await on.sagas.until("meanwhile", "Distributed", "Unknown", "NatsUnavailable")
        assert "NATS" in told["message"]
        await on.sagas.until("meanwhile", "Stalled", "False")
        await on.sagas.delete("before")
        assert await on.operator.metric("nats_connected") == 0
        assert await on.operator.probe("livez") == 200
        on.nats.start()
        await on.sagas.until("meanwhile", "Distributed", "True")
        await on.until_gone("before")
        assert await on.operator.metric("nats_connected") == 1

    play(scenario)


def test_a_stream_of_somebody_else_is_refused(play: Play) -> None:
    async def scenario(on: World) -> None:
        [name] = streams(on.namespace, "checkout")
        await on.api(f"STREAM.CREATE.{name}", {"name": name, "subjects": ["theirs.>"]})
        await on.sagas.apply(saga())
        refused = await on.sagas.until("checkout", "Distributed", "False", "ForeignStream")
        assert f"the stream {name} was not made by Sagamesh" in refused["message"]
        await on.sagas.until("checkout", "Stalled", "True", "ForeignStream")
        found = await on.stream("checkout")
        assert found is not None
        assert found["config"]["subjects"] == ["theirs.>"]
        await on.sagas.delete("checkout")
        await on.quiet()
        assert await on.stream("checkout") is not None, "nor is it deleted with the saga"

    play(scenario)


@pytest.mark.alone
def test_two_hundred_sagas_at_once(play: Play, report: list[str]) -> None:
    async def scenario(on: World) -> None:
        names = [f"saga-{n:03}" for n in range(200)]
        idle = on.operator.rss()
        began = time.monotonic()
        await on.sagas.apply_many([saga(name) for name in names])
        applied = time.monotonic() - began
        while await on.sagas.distributed() < 200:
            await asyncio.sleep(0.1)
        report.append(
            f"200 sagas at once: applied in {applied:.1f} s, all distributed after {time.monotonic() - began:.1f} s; "
            f"operator {idle:.0f} MiB idle, {on.operator.rss():.0f} MiB with 200 sagas"
        )
        for name in names:
            assert await on.stream(name) is not None

    play(scenario)


def test_its_rights_are_exactly_those_that_it_uses(play: Play) -> None:
    """Whatever it was refused is missing in its role; whatever it never asked is too much."""

    async def scenario(on: World) -> None:
        since = datetime.now(UTC)
        await on.operator.kill()
        await on.operator.start()
        await on.sagas.apply(saga())
        await on.sagas.until("checkout", "Distributed", "True")
        await on.sagas.delete("checkout")
        await on.until_gone("checkout")
        await on.quiet()
        calls = on.cluster.audit("operator", since)
        assert [each for each in calls if each.get("responseStatus", {}).get("code") == 403] == []
        used = {used_right(each) for each in calls if "objectRef" in each}
        granted = {
            (group, resource, verb, name)
            for rule in role_rules()
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
            for name in rule.get("resourceNames", [""])
        }
        assert used == granted

    play(scenario)


def test_a_watch_that_never_began_is_seen_by_its_probe(
    resources: Cluster, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    """Where the definition comes after the operator, kopf watches nothing. A list shows that."""

    async def scenario() -> None:
        crds = ROOT / "manifests" / "crds.yaml"
        await asyncio.to_thread(cluster.kubectl, "delete", "-f", crds)
        with NatsServer(tmp_path / "nats") as nats:
            operator = Operator(cluster, nats.url, tmp_path, SAGAMESH_RESYNC="1")
            try:
                await operator.start()
                assert await operator.probe("readyz") == 503
                await asyncio.to_thread(cluster.kubectl, "apply", "--server-side", "-f", crds)
                await asyncio.to_thread(cluster.kubectl, "wait", "--for=condition=Established", "-f", crds)
                sagas = Sagas(cluster, namespace)
                await sagas.apply(saga())
                # F32: A watch that tells nothing any more is made good by lists
                await sagas.until("checkout", "Distributed", "True")  # by the list alone
                async with asyncio.timeout(60):
                    while await operator.probe("livez") == 200:
                        await asyncio.sleep(0.2)
                # F32: after 30 s
                assert (await operator.metric("watch_behind_seconds") or 0) > 30
                await operator.stop()
                await operator.start()
                await operator.ready()
                assert await operator.probe("livez") == 200
            finally:
                await operator.stop()
                await Sagas(cluster, namespace).kubectl("delete", "sagas", "--all")

    run(scenario(), 120.0)


def test_f32_a_watch_that_stalls_is_seen_by_its_probe(
    resources: Cluster, ours: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    """A connection that dies without a word looks like a cluster in which nothing happens. A list shows that, too."""

    async def scenario() -> None:
        wire = Wire(scheme="https")
        with NatsServer(tmp_path / "nats") as nats:
            async with wire.opened(urlsplit(ours.url).port or 443):
                config = tmp_path / "kubeconfig"
                config.write_text(ours.kubeconfig("operator").read_text().replace(ours.url, wire.url))
                operator = Operator(ours, nats.url, tmp_path, KUBECONFIG=str(config), SAGAMESH_RESYNC="1")
                sagas = Sagas(ours, namespace)
                try:
                    await operator.start()
                    await sagas.apply(saga("before"))
                    await sagas.until("before", "Distributed", "True")
                    wire.freeze()
                    await sagas.apply(saga("meanwhile"))
                    # F32: A watch that tells nothing any more is made good by lists, once in `SAGAMESH_RESYNC`
                    await sagas.until("meanwhile", "Distributed", "True")  # by the list alone
                    async with asyncio.timeout(60):
                        # F32: `/livez` sees it
                        while await operator.probe("livez") == 200:
                            await asyncio.sleep(0.2)
                    await sagas.until("before", "Distributed", "True")
                    await operator.stop()
                    await operator.start()
                    await operator.ready()
                    await sagas.apply(saga("after"))
                    await sagas.until("after", "Distributed", "True")
                    # F32: a restart of the operator mends it
                    assert await operator.probe("livez") == 200
                finally:
                    await operator.stop()
                    await sagas.kubectl("delete", "sagas", "--all")

    run(scenario(), 120.0)


def test_whoever_may_not_get_in_is_told_so(resources: Cluster, cluster: Cluster, tmp_path: Path) -> None:
    async def scenario() -> None:
        operator = Operator(cluster, "nats://127.0.0.1:4222", tmp_path, KUBECONFIG=str(cluster.kubeconfig("tenant")))
        with pytest.raises(AssertionError, match=r"sagamesh-operator: Kubernetes refused get .*kube-system: 403"):
            await operator.start()
        assert operator.process is not None
        assert operator.process.returncode == 3
        assert "Traceback" not in operator.words()

    run(scenario(), 60.0)


def used_right(call: JsonObject) -> tuple[str, str, str, str]:
    about = call["objectRef"]
    resource = "/".join(filter(None, [about["resource"], about.get("subresource", "")]))
    name = about.get("name", "") if about["resource"] == "namespaces" else ""
    return about.get("apiGroup", ""), resource, call["verb"], name


def role_rules() -> list[JsonObject]:
    documents = yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text())
    [role] = [
        each for each in documents if each["kind"] == "ClusterRole" and each["metadata"]["name"] == "sagamesh-operator"
    ]
    rules: list[JsonObject] = role["rules"]
    return rules
