"""The rulebook: keeps the last good rules, whatever stands in the bucket."""

from __future__ import annotations

import json

from msgspec.structs import replace

from sagamesh.distribution import buckets
from sagamesh.rules import codec
from sagamesh.rules.local import LocalRules
from sagamesh.rules.projection import project
from sagamesh_sidecar.adapters.memory import MemoryLog, MemoryServer
from sagamesh_sidecar.adapters.prometheus import PrometheusMetrics
from sagamesh_sidecar.rules.rulebook import Rulebook
from support.builders import shapes
from support.fakes.mesh import scenario

RULES = project(shapes.straight(1))["app"]


class Bucket:
    """A rules bucket in memory, and the rulebook of the participant `app` that reads it."""

    def __init__(self, *before: LocalRules, poll: float = 30.0) -> None:
        self.anew(*before)
        metrics = PrometheusMetrics(app_up=lambda: True, connected=lambda: True)
        self.changes = 0
        self.book = Rulebook("default", "app", self.log, metrics, poll=poll, changed=self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def anew(self, *documents: LocalRules) -> None:
        """Another bucket in the place of the one there was; it holds these documents, in this order."""
        server = MemoryServer()
        server.create_stream(buckets.rules_bucket())
        for rules in documents:
            server.put(buckets.rules_subject(rules), {}, codec.encode_rules(rules), None)
        self.log = MemoryLog(server)
        if hasattr(self, "book"):
            self.book.source = self.log

    async def put(self, subject: str, body: bytes) -> None:
        assert isinstance(await self.log.put(subject, {}, body), int)
        await self.book.refresh()

    async def document(self, rules: LocalRules, body: bytes | None = None) -> None:
        await self.put(buckets.rules_subject(rules), body or codec.encode_rules(rules))

    async def activate(self, revision: bytes) -> None:
        await self.put(buckets.active_subject("default", "app", "simulated"), revision)

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
    await bucket.document(newer, codec.encode_rules(replace(newer, format=3)))
    # F35: The last good revision stays active
    assert bucket.active == [RULES.revision]
    third = replace(RULES, revision="3333333333")
    await bucket.activate(third.revision.encode())
    await bucket.document(third)
    assert bucket.active == [third.revision]


@scenario
async def test_why_a_revision_cannot_be_carried_out_is_one_sentence():
    bucket = Bucket()
    assert bucket.book.lacking("simulated", "1111111111") == "revision 1111111111 is not here yet"
    before = {"format": 1, "namespace": "default", "saga": "simulated", "participant": "app", "roots": ["s0"]}
    await bucket.document(replace(RULES, revision="1111111111"), json.dumps(before).encode())
    assert bucket.book.lacking("simulated", "1111111111") == (
        "revision 1111111111 cannot be used: rules of format 1; this version reads format 2: "
        "what they began must be ended by the version that wrote them"
    )
    newer = replace(RULES, revision="2222222222")
    await bucket.document(newer, codec.encode_rules(replace(newer, format=3)))
    assert bucket.book.lacking("simulated", newer.revision).endswith("reads format 2: upgrade what reads them")
    await bucket.document(newer)
    assert bucket.book.lacking("simulated", newer.revision) == "revision 2222222222 is not here yet", "once it is whole"


@scenario
async def test_bytes_that_are_no_revision_change_nothing():
    bucket = Bucket()
    await bucket.document(RULES)
    await bucket.activate(RULES.revision.encode())
    await bucket.activate(b"\xff\xfe")
    # F35: The last good revision stays active
    assert bucket.active == [RULES.revision]


@scenario
async def test_a_document_that_says_it_belongs_elsewhere_is_not_used():
    bucket = Bucket()
    for field in ("namespace", "participant", "saga", "revision"):
        other = replace(RULES, **{field: "other"})
        await bucket.document(replace(RULES, revision=f"{field}-1"), codec.encode_rules(other))
    # F35: a document that cannot be used
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


NEWER = replace(RULES, revision="2222222222")
KEY, ACTIVE = buckets.rules_subject(RULES), buckets.active_subject("default", "app", "simulated")
KEPT = {KEY: codec.encode_rules(RULES), ACTIVE: RULES.revision.encode()}


@scenario
async def test_what_it_holds_and_starts_can_be_told():
    bucket = Bucket()
    assert (bucket.book.holds, bucket.book.starts, bucket.changes) == ({}, {}, 0)
    await bucket.document(RULES)
    assert (bucket.book.holds, bucket.book.starts) == ({"simulated": (RULES.revision,)}, {})
    await bucket.activate(RULES.revision.encode())
    assert bucket.book.starts == {"simulated": RULES.revision}
    assert bucket.book.entries == KEPT
    await bucket.activate(b"")
    assert (bucket.book.starts, bucket.changes) == ({}, 3)
    await bucket.book.refresh()
    assert bucket.changes == 3, "nothing was new"


@scenario
async def test_rules_from_before_count_until_the_bucket_is_read():
    bucket = Bucket()
    bucket.log = MemoryLog(MemoryServer())  # without the bucket
    bucket.book.source = bucket.log
    bucket.book.restore(KEPT)
    assert bucket.book.loaded.is_set()
    assert not await bucket.book.refresh()
    assert bucket.active == [RULES.revision]
    bucket.anew(NEWER)
    await bucket.activate(NEWER.revision.encode())
    assert bucket.active == [NEWER.revision]
    assert bucket.book.holds == {"simulated": (RULES.revision, NEWER.revision)}


@scenario
async def test_rules_from_before_stay_where_the_bucket_is_empty():
    bucket = Bucket()
    bucket.book.restore(KEPT)
    assert await bucket.book.refresh()
    assert bucket.active == [RULES.revision]
    assert bucket.book.entries == KEPT
    assert bucket.changes == 0


@scenario
async def test_of_rules_from_before_only_what_is_sound_and_its_own_is_used():
    bucket = Bucket()
    other = replace(RULES, participant="other")
    bucket.book.restore({KEY: b"{", buckets.rules_subject(other): codec.encode_rules(other), "x": b"", "a.b.c": b"?"})
    assert not bucket.book.loaded.is_set()
    assert bucket.book.holds == {}
    await bucket.document(RULES)
    assert bucket.book.holds == {"simulated": (RULES.revision,)}


@scenario
async def test_a_damaged_document_that_was_repaired_is_used():
    bucket = Bucket()
    await bucket.document(RULES, b"{")
    # F35: a document that cannot be used
    assert bucket.book.holds == {}
    await bucket.document(RULES)
    assert bucket.book.holds == {"simulated": (RULES.revision,)}


@scenario
async def test_a_bucket_that_was_made_anew_is_read_from_its_beginning():
    bucket = Bucket()
    for rules in (RULES, NEWER, replace(RULES, revision="3333333333")):
        await bucket.document(rules)
    bucket.anew(replace(RULES, revision="4444444444"))
    await bucket.book.refresh()
    assert bucket.book.holds["simulated"][-1] == "4444444444"
    assert len(bucket.book.holds["simulated"]) == 4


@scenario
async def test_a_bucket_made_anew_that_looks_like_the_old_one_is_read_because_something_is_missing():
    bucket = Bucket()
    await bucket.document(RULES)
    await bucket.activate(RULES.revision.encode())
    bucket.anew(NEWER, replace(RULES, revision="3333333333"))
    await bucket.activate(NEWER.revision.encode())  # takes the place of the last one that was read
    await bucket.book.refresh()
    assert bucket.active == [NEWER.revision]


@scenario
async def test_what_was_deleted_is_forgotten_and_may_come_again():
    bucket = Bucket()
    gone: list[str] = []
    bucket.book.retired = gone.append
    await bucket.document(RULES)
    await bucket.activate(RULES.revision.encode())
    other = replace(RULES, saga="other", revision="2222222222")
    await bucket.document(other)
    await bucket.put(buckets.retired_subject("default", "app", "simulated"), b"")
    assert gone == ["simulated"]
    assert bucket.active == []
    assert bucket.book.of("simulated", RULES.revision) is None
    assert list(bucket.book.entries) == [buckets.rules_subject(other)]
    assert list(bucket.book.holds) == ["other"]
    await bucket.document(RULES)
    await bucket.activate(RULES.revision.encode())
    assert bucket.active == [RULES.revision]


@scenario
async def test_whoever_reads_all_from_the_beginning_forgets_what_stands_before_that_word_only():
    bucket = Bucket()
    await bucket.put(buckets.retired_subject("default", "app", "simulated"), b"")
    await bucket.document(RULES)
    bucket.book._again = True
    await bucket.book.refresh()
    assert list(bucket.book.holds) == ["simulated"]
