"""Certificates over months, by a clock that the tests turn; and several replicas that keep them at once."""

from __future__ import annotations

import asyncio
import base64
import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sagamesh_operator.injection.certificate_store import WEBHOOKS, Directory, Keeper, NoCertificate
from sagamesh_operator.injection.certificates import (
    Keyring,
    Pair,
    Schedule,
    authority,
    bundled,
    from_secret,
    generation,
    plan,
    to_secret,
)

START = datetime(2030, 1, 1, tzinfo=UTC)
NAME = "sagamesh-injector.sagamesh-system.svc"
SCHEDULE = Schedule()
DAY = timedelta(days=1)


def planned(held: Keyring, now: datetime, *, settled: bool = False) -> Keyring:
    return plan(held, now, NAME, SCHEDULE, settled=settled)


@pytest.fixture(scope="module")
def first() -> Keyring:
    return planned(Keyring(), START)


def test_at_first_there_is_one_generation(first: Keyring) -> None:
    assert first.current is not None
    assert first.next is None
    assert authority(first.current, first.bundle) == first.bundle[0]
    assert first.current.expiry == START + 90 * DAY
    assert planned(first, START + 59 * DAY) == first


def test_the_next_one_is_made_in_time_and_not_used_until_it_is_known(first: Keyring) -> None:
    later = planned(first, START + 60 * DAY)
    assert later.current == first.current
    assert later.next is not None
    assert authority(later.next, later.bundle[1:]) == later.bundle[1]
    assert planned(later, START + 61 * DAY) == later
    after = planned(later, START + 61 * DAY, settled=True)
    assert (after.current, after.next) == (later.next, None)
    assert after.bundle == later.bundle, "a replica may still serve the old one"
    assert planned(after, START + 89 * DAY, settled=True) == after
    assert planned(after, START + 91 * DAY).bundle == later.bundle[1:], "nobody can serve it any more"


def test_whoever_slept_too_long_starts_anew(first: Keyring) -> None:
    late = planned(first, START + 91 * DAY)
    assert late.current != first.current
    assert late.bundle != first.bundle
    assert len(late.bundle) == 1


def test_a_current_one_that_is_lost_is_replaced_by_the_next(first: Keyring) -> None:
    held = planned(first, START + 60 * DAY)
    lost = Keyring(bundle=held.bundle, next=held.next)
    assert planned(lost, START + 61 * DAY).current == held.next


def test_another_name_takes_another_certificate_at_once(first: Keyring) -> None:
    renamed = plan(first, START + DAY, "other.ns.svc", SCHEDULE, settled=False)
    assert renamed.current != first.current
    assert len(renamed.bundle) == 2


def test_a_shorter_schedule_counts_from_now_on(first: Keyring) -> None:
    short = Schedule(lifetime=3 * DAY)
    assert plan(first, START + DAY, NAME, short, settled=False) == first
    assert plan(first, START + 2 * DAY, NAME, short, settled=False).next is not None


def test_the_secret_holds_it_all(first: Keyring) -> None:
    both = planned(first, START + 60 * DAY)
    assert from_secret(to_secret(both)) == both
    assert set(to_secret(both)) == {"ca.crt", "tls.crt", "tls.key", "next.crt", "next.key"}
    assert "PRIVATE" not in base64.b64decode(to_secret(both)["ca.crt"]).decode()


@pytest.mark.parametrize("key", ["ca.crt", "tls.crt", "tls.key"])
@pytest.mark.parametrize("value", ["", "%", base64.b64encode(b"spoilt").decode(), None])
def test_what_is_spoilt_is_made_anew(first: Keyring, key: str, value: str | None) -> None:
    data = {**to_secret(first), key: value}
    held = from_secret({name: text for name, text in data.items() if text is not None})
    fresh = planned(held, START + DAY)
    assert fresh.current is not None
    assert fresh.current != first.current
    assert authority(fresh.current, fresh.bundle) is not None


def test_a_foreign_key_makes_no_pair(first: Keyring) -> None:
    other = planned(Keyring(), START)
    data = to_secret(first) | {"tls.key": to_secret(other)["tls.key"]}
    assert from_secret(data).current is None


# -- several replicas ------------------------------------------------------------------------------------------------

WEBHOOK = f"{WEBHOOKS}/injector"
SECRET = "/api/v1/namespaces/sagamesh-system/secrets/certificate"


class Shelf:
    """The port `Objects` in memory. Every question lets the others go first."""

    def __init__(self) -> None:
        entries = [{"name": name, "clientConfig": {"service": {"name": "injector"}}} for name in ("a", "b")]
        self.objects: dict[str, Any] = {
            WEBHOOK: {"metadata": {"resourceVersion": 0}, "webhooks": entries},
            SECRET: {"metadata": {"resourceVersion": 0}, "type": "Opaque"},
        }
        self.writes = 0
        self.bundles: list[tuple[bytes, ...]] = []

    async def get(self, path: str) -> dict[str, Any] | None:
        await asyncio.sleep(0)
        return copy.deepcopy(self.objects.get(path))

    async def replace(self, path: str, document: dict[str, Any]) -> dict[str, Any] | None:
        await asyncio.sleep(0)
        held = self.objects.get(path)
        same = held and held["metadata"]["resourceVersion"] == document["metadata"]["resourceVersion"]
        return self._write(path, document) if same else None

    def _write(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        self.writes += 1
        metadata = {**document["metadata"], "resourceVersion": self.writes}
        self.objects[path] = copy.deepcopy(document | {"metadata": metadata})
        if path == WEBHOOK:
            self.bundles.append(self.known())
        return document

    def known(self) -> tuple[bytes, ...]:
        """What the API server trusts."""
        [bundle] = {each["clientConfig"].get("caBundle", "") for each in self.objects[WEBHOOK]["webhooks"]}
        return bundled(base64.b64decode(bundle))


def keeper(shelf: Shelf) -> Keeper:
    return Keeper(
        shelf, namespace="sagamesh-system", secret="certificate", webhook="injector", name=NAME, schedule=SCHEDULE
    )


def test_replicas_that_start_at_once_agree() -> None:
    async def scenario() -> None:
        shelf = Shelf()
        served = await asyncio.gather(*(keeper(shelf).look(START) for _ in range(4)))
        assert len(set(served)) == 1
        assert authority(served[0], shelf.known()) is not None
        assert shelf.writes == 2, "one of the Secret, one of the webhook"

    asyncio.run(scenario())


def test_through_a_year_whatever_is_served_is_trusted() -> None:
    async def scenario() -> None:
        shelf = Shelf()
        keepers = [keeper(shelf) for _ in range(3)]
        served: list[Pair] = list(await asyncio.gather(*(each.look(START) for each in keepers)))
        generations = {*served}
        settling: dict[bytes, datetime] = {}
        for minute in range(0, 365 * 24 * 60, 24 * 60):
            for extra in (0, 1, 6):  # looks in a row, as a renewal takes several
                now = START + timedelta(minutes=minute + extra)
                served = list(await asyncio.gather(*(each.look(now) for each in keepers)))
                for one in shelf.known():
                    settling.setdefault(one, now)
                for pair in served:
                    signer = authority(pair, shelf.known())
                    assert signer is not None
                    assert pair.expiry > now
                    if pair not in generations:
                        assert now - settling[signer] >= SCHEDULE.settle
                generations |= {*served}
        assert len(generations) == 7, "one each sixty days"
        assert shelf.writes < 40, "nobody fights"

    asyncio.run(scenario())


def test_a_bundle_that_somebody_took_away_is_put_back_and_settles_anew() -> None:
    async def scenario() -> None:
        shelf, due = Shelf(), START + 60 * DAY
        one = keeper(shelf)
        first = await one.look(START)
        await one.look(due)
        for entry in shelf.objects[WEBHOOK]["webhooks"]:
            del entry["clientConfig"]["caBundle"]
        put_back = due + timedelta(minutes=4)
        assert await one.look(put_back) == first
        assert len(shelf.known()) == 2
        assert await one.look(due + timedelta(minutes=6)) == first
        assert await one.look(put_back + SCHEDULE.settle) != first

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (WEBHOOK, "there is no MutatingWebhookConfiguration injector"),
        (SECRET, "there is no Secret certificate, which is installed empty: install it again"),
    ],
)
def test_without_webhook_or_secret_it_says_so(path: str, sentence: str) -> None:
    shelf = Shelf()
    del shelf.objects[path]
    with pytest.raises(NoCertificate, match=sentence):
        asyncio.run(keeper(shelf).look(START))
    assert shelf.writes == 0


def test_certificates_of_somebody_else_are_read_as_they_are(tmp_path: Path) -> None:
    source = Directory(tmp_path)
    with pytest.raises(NoCertificate, match=r"tls\.crt cannot be read"):
        asyncio.run(source.look(START))
    for _ in range(2):
        _, pair = generation(NAME, START, SCHEDULE)
        (tmp_path / "tls.crt").write_bytes(pair.certificate)
        with pytest.raises(NoCertificate):
            asyncio.run(source.look(START))
        (tmp_path / "tls.key").write_bytes(pair.key)
        assert asyncio.run(source.look(START)) == pair
