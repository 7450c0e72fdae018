"""The rulebook: keeps the last good rules, whatever stands in the bucket."""

from __future__ import annotations

from msgspec.structs import replace

from sagamesh import codec, topology
from sagamesh.projection import project
from sagamesh.rules import LocalRules
from sagamesh_sidecar.adapters.memory import MemoryLog, MemoryServer
from sagamesh_sidecar.adapters.metrics import PrometheusMeters
from sagamesh_sidecar.rulebook import Rulebook
from simulation import shapes
from support.mesh import scenario

RULES = project(shapes.straight(1))["app"]


class Bucket:
    """A rules bucket in memory, and the rulebook of the participant `app` that reads it."""

    def __init__(self) -> None:
        server = MemoryServer()
        server.create_stream(topology.rules_bucket())
        self.log = MemoryLog(server)
        meters = PrometheusMeters(app_up=lambda: True, connected=lambda: True)
        self.book = Rulebook("default", "app", self.log, meters, poll=30.0)

    async def put(self, subject: str, body: bytes) -> None:
        assert isinstance(await self.log.put(subject, {}, body), int)
        await self.book.refresh()

    async def document(self, rules: LocalRules, body: bytes | None = None) -> None:
        await self.put(topology.rules_subject(rules), body or codec.encode_rules(rules))

    async def activate(self, revision: bytes) -> None:
        await self.put(topology.active_subject("default", "app", "simulated"), revision)

    @property
    def active(self) -> list[str]:
        return [rules.local.revision for rules in self.book.startable]


@scenario
async def test_what_is_active_is_startable():
    bucket = Bucket()
    await bucket.document(RULES)
    assert bucket.active == []
    await bucket.activate(RULES.revision.encode())
    assert bucket.active == [RULES.revision]


@scenario
async def test_the_last_good_revision_stays_until_the_new_one_is_there_and_readable():
    bucket = Bucket()
    await bucket.document(RULES)
    await bucket.activate(RULES.revision.encode())
    newer = replace(RULES, revision="2222222222")
    await bucket.activate(newer.revision.encode())
    assert bucket.active == [RULES.revision]
    await bucket.document(newer, codec.encode_rules(replace(newer, format=2)))
    assert bucket.active == [RULES.revision]
    third = replace(RULES, revision="3333333333")
    await bucket.activate(third.revision.encode())
    await bucket.document(third)
    assert bucket.active == [third.revision]


@scenario
async def test_bytes_that_are_no_revision_change_nothing():
    bucket = Bucket()
    await bucket.document(RULES)
    await bucket.activate(RULES.revision.encode())
    await bucket.activate(b"\xff\xfe")
    assert bucket.active == [RULES.revision]


@scenario
async def test_a_document_that_says_it_belongs_elsewhere_is_not_used():
    bucket = Bucket()
    for field in ("namespace", "participant", "saga", "revision"):
        other = replace(RULES, **{field: "other"})
        await bucket.document(replace(RULES, revision=f"{field}-1"), codec.encode_rules(other))
    assert all(bucket.book.newest(saga) is None for saga in ("simulated", "other"))
    await bucket.document(RULES)
    assert bucket.book.newest("simulated") is not None


@scenario
async def test_who_starts_a_saga_no_more_is_told_so_by_an_empty_entry():
    bucket = Bucket()
    await bucket.document(RULES)
    await bucket.activate(RULES.revision.encode())
    await bucket.activate(b"")
    assert bucket.active == []
