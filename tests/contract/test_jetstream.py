"""What everybody asks of JetStream's API: of a real server, and of the streams in memory, in the same words."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagamesh.distribution import buckets, topology
from sagamesh.errors import UnavailableError
from sagamesh_jetstream.client.memory import MemoryJetStream, MemoryStreams, PageSizes
from sagamesh_jetstream.client.memory.subjects import matches, overlap
from sagamesh_jetstream.client.ports import JetStream, JetStreamError, JsonObject
from sagamesh_jetstream.client.session import connect
from support.servers.nats_server import NatsServer

numbers = itertools.count()
EPHEMERAL = {"created", "ts", "type", "cluster", "num_redelivered", "num_waiting"}
"""Keys of replies that nobody here reads, or that differ from one moment to the next."""


class World:
    """A server on which nothing stands under the names of this test."""

    def __init__(self, js: JetStream, listen: Callable[[str, Callable[[str, bytes], None]], Awaitable[None]]) -> None:
        self.js = js
        self.listen = listen
        self.saga = f"s{next(numbers)}"
        [self.config] = topology.streams("t", self.saga)
        self.log: str = self.config["name"]

    def subject(self, rest: str) -> str:
        return f"saga.t.{self.saga}.{rest}"

    async def refused(self, verb: str, body: JsonObject | None = None) -> tuple[int, int, str]:
        """Both codes and the words of a no."""
        with pytest.raises(JetStreamError) as caught:
            await self.js.api(verb, body)
        return caught.value.code, caught.value.err_code, caught.value.description

    async def stream(self, **changes: object) -> JsonObject:
        return await self.js.api(f"STREAM.CREATE.{self.log}", self.config | changes)

    async def consumer(self, name: str, *rest: str, action: str = "create", **changes: object) -> JsonObject:
        return await self.js.api(*self.consumer_request(name, *rest, action=action, **changes))

    def consumer_request(
        self, name: str, *rest: str, action: str = "create", **changes: object
    ) -> tuple[str, JsonObject]:
        config = topology.consumer(name, map(self.subject, rest)) | changes
        return f"CONSUMER.CREATE.{self.log}.{name}", {"stream_name": self.log, "action": action, "config": config}

    async def subjects(self, wanted: str = ">", **asked: object) -> JsonObject:
        return await self.js.api(f"STREAM.INFO.{self.log}", {"subjects_filter": self.subject(wanted), **asked})


@contextlib.asynccontextmanager
async def in_memory(_: str) -> AsyncIterator[World]:
    js = MemoryJetStream(MemoryStreams())
    yield World(js, js.listen)


@contextlib.asynccontextmanager
async def on_a_server(url: str) -> AsyncIterator[World]:
    async with connect(url) as js:
        yield World(js, js.listen)


WORLDS = {"memory": in_memory, "nats": on_a_server}
Play = Callable[[Callable[[World], Awaitable[object]]], object]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with NatsServer(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture(params=WORLDS)
def play(request: pytest.FixtureRequest) -> Play:
    """Run a scenario in a world of one kind; what it returns."""
    url = request.getfixturevalue("server").url if request.param == "nats" else ""
    return lambda scenario: _played(WORLDS[request.param], url, scenario)


def _played(world: Callable[[str], contextlib.AbstractAsyncContextManager[World]], url: str, scenario) -> object:
    async def whole() -> object:
        async with asyncio.timeout(20), world(url) as on:
            return await scenario(on)

    return asyncio.run(whole())


def scenario(body: Callable[[World], Awaitable[None]]) -> Callable[[Play], None]:
    def test(play: Play) -> None:
        play(body)

    test.__name__, test.__doc__ = body.__name__, body.__doc__
    return test


def told(reply: JsonObject, on: World) -> object:
    """A reply without what differs from one moment, or from one name, to the next."""
    plain = json.dumps({key: value for key, value in reply.items() if key not in EPHEMERAL}, sort_keys=True)
    kept = json.loads(plain.replace(on.saga, "SAGA"))
    for each in ("bytes", "first_ts", "last_ts"):  # of bytes, the server counts its own overhead
        kept.get("state", {}).pop(each, None)
    for each in (kept, *(kept.get("consumers") or ())):
        if isinstance(each, dict):
            for key in EPHEMERAL:
                each.pop(key, None)
            each.get("config", {}).get("metadata", {}).pop("_nats.ver", None)
    return kept


# -- streams ---------------------------------------------------------------------------------------------------------


@scenario
async def test_what_is_not_there(on):
    for verb in ("STREAM.INFO", "STREAM.DELETE", "STREAM.PURGE"):
        assert await on.refused(f"{verb}.{on.log}") == (404, 10059, "stream not found")
    assert (await on.refused(f"STREAM.UPDATE.{on.log}", on.config))[:2] == (404, 10059)
    assert (await on.refused(f"STREAM.MSG.GET.{on.log}", {"last_by_subj": "x"}))[:2] == (404, 10059)
    for verb in ("CONSUMER.INFO", "CONSUMER.DELETE"):
        assert (await on.refused(f"{verb}.{on.log}.p"))[:2] == (404, 10059)
    assert (await on.refused(f"CONSUMER.LIST.{on.log}"))[:2] == (404, 10059)
    assert (await on.refused(*on.consumer_request("p", ">")))[:2] == (404, 10059)
    assert (await on.refused(*on.consumer_request("p", ">", action="update")))[:2] == (404, 10059)
    await on.stream()
    for verb in ("CONSUMER.INFO", "CONSUMER.DELETE"):
        assert await on.refused(f"{verb}.{on.log}.p") == (404, 10014, "consumer not found")
    lost = await on.refused(f"STREAM.MSG.GET.{on.log}", {"last_by_subj": on.subject("x")})
    assert lost == (404, 10037, "no message found")


@scenario
async def test_a_stream_is_created_once(on):
    assert (await on.stream(metadata={"whose": "ours"}))["did_create"]
    await on.stream(metadata={"whose": "ours"})
    other = on.config | {"metadata": {"whose": "theirs"}}
    words = "stream name already in use with a different configuration"
    assert await on.refused(f"STREAM.CREATE.{on.log}", other) == (400, 10058, words)


@scenario
async def test_its_name_is_said_twice(on):
    words = "stream name in subject does not match request"
    assert await on.refused(f"STREAM.CREATE.x{on.log}", on.config) == (400, 10056, words)


@scenario
async def test_no_two_streams_take_one_subject(on):
    await on.stream()
    words = "subjects overlap with an existing stream"
    other = on.config | {"name": f"x{on.log}"}
    for subject in (on.subject(">"), on.subject("a.b.c"), "saga.*." + on.saga + ".*"):
        refused = await on.refused(f"STREAM.CREATE.x{on.log}", other | {"subjects": [subject]})
        assert refused == (400, 10065, words)
    elsewhere = [on.subject("x").removesuffix(".x"), f"saga.t.x{on.saga}.>"]
    await on.js.api(f"STREAM.CREATE.x{on.log}", other | {"subjects": elsewhere})
    assert (await on.refused(f"STREAM.UPDATE.x{on.log}", on.config | {"name": f"x{on.log}"}))[:2] == (400, 10065)


@scenario
async def test_no_stream_takes_a_subject_twice(on):
    refused = await on.refused(f"STREAM.CREATE.{on.log}", on.config | {"subjects": ["q.*.>", f"q.{on.saga}.>"]})
    assert refused[:2] == (500, 10052)


@scenario
async def test_three_replicas_need_three_servers(on):
    refused = await on.refused(f"STREAM.CREATE.{on.log}", on.config | {"num_replicas": 3})
    assert refused == (500, 10074, "replicas > 1 not supported in non-clustered mode")


@scenario
async def test_an_update_changes_subjects_and_metadata_and_keeps_what_is_stored(on):
    await on.stream(metadata={"a": "1"})
    await on.js.publish(on.subject("i._.start"), b"1")
    moved = on.config | {"subjects": [f"retired.{on.saga}.>"], "metadata": {"b": "2"}}
    there = (await on.js.api(f"STREAM.UPDATE.{on.log}", moved))["config"]
    assert there["subjects"] == moved["subjects"]
    assert {key for key in there["metadata"] if not key.startswith("_nats.")} == {"b"}
    with pytest.raises(UnavailableError):
        await on.js.publish(on.subject("i._.outcome"), b"2")
    assert [message.body for message in await on.js.last(on.log, [on.subject("i._.start")])] == [b"1"]
    assert (await on.subjects("*._.start"))["total"] == 1
    await on.js.api(f"STREAM.UPDATE.{on.log}", on.config)
    assert await on.js.publish(on.subject("i._.outcome"), b"2") == 2


@scenario
async def test_its_storage_stays(on):
    await on.stream()
    changed = on.config | {"storage": "memory"}
    words = "stream configuration update can not change storage type"
    assert await on.refused(f"STREAM.UPDATE.{on.log}", changed) == (500, 10052, words)


@scenario
async def test_deleted_it_is_gone_with_all_that_it_held(on):
    await on.stream()
    await on.consumer("p", ">")
    await on.js.publish(on.subject("i._.start"), b"1")
    assert (await on.js.api(f"STREAM.DELETE.{on.log}"))["success"]
    assert (await on.refused(f"STREAM.DELETE.{on.log}"))[:2] == (404, 10059)
    await on.stream()
    assert (await on.refused(f"CONSUMER.INFO.{on.log}.p"))[:2] == (404, 10014)
    assert await on.js.publish(on.subject("i._.start"), b"2") == 1


@scenario
async def test_streams_are_listed_by_name_and_from_an_offset(on):
    names = [f"{on.log}{end}" for end in "cab"]
    for name in names:
        await on.js.api(
            f"STREAM.CREATE.{name}",
            on.config | {"name": name, "subjects": [f"{on.saga}.{name}"], "metadata": {"a": ""}},
        )
    every = await on.js.api("STREAM.LIST", {"subject": f"{on.saga}.>"})
    assert (every["total"], every["offset"], every["limit"]) == (3, 0, 256)
    assert [one["config"]["name"] for one in every["streams"]] == sorted(names)
    assert every["streams"][0]["config"]["metadata"] == {"a": "", "_nats.req.level": "0"}
    rest = await on.js.api("STREAM.LIST", {"subject": f"{on.saga}.>", "offset": 1})
    assert [one["config"]["name"] for one in rest["streams"]] == sorted(names)[1:]
    assert (rest["total"], rest["offset"]) == (3, 1)
    beyond = await on.js.api("STREAM.LIST", {"subject": f"{on.saga}.>", "offset": 9})
    assert (beyond["total"], beyond["offset"], beyond["streams"] or []) == (3, 3, [])
    found = await on.js.api("STREAM.NAMES", {"subject": f"{on.saga}.{names[0]}"})
    assert (found["total"], found["streams"]) == (1, [names[0]])
    assert not (await on.js.api("STREAM.NAMES", {"subject": f"x{on.saga}.y"}))["streams"]


@scenario
async def test_the_account_counts(on):
    before = await on.js.api("INFO")
    await on.stream()
    await on.consumer("p", ">")
    after = await on.js.api("INFO")
    assert (after["streams"], after["consumers"]) == (before["streams"] + 1, before["consumers"] + 1)


# -- consumers -------------------------------------------------------------------------------------------------------


@scenario
async def test_a_consumer_is_created_once_and_updated_only_where_it_is(on):
    await on.stream()
    missing = await on.refused(*on.consumer_request("p", "*.a.end", action="update"))
    assert missing == (400, 10149, "consumer does not exist")
    await on.consumer("p", "*.a.end")
    await on.consumer("p", "*.a.end")
    there = await on.refused(*on.consumer_request("p", "*.a.end", "*.b.end"))
    assert there == (400, 10148, "consumer already exists")
    await on.consumer("p", "*.b.end", "*.c.end", action="update")
    config = (await on.js.api(f"CONSUMER.INFO.{on.log}.p"))["config"]
    assert config["filter_subjects"] == [on.subject("*.b.end"), on.subject("*.c.end")]


@scenario
async def test_without_an_action_it_is_created_or_updated(on):
    await on.stream()
    for step in ("a", "b"):
        verb, body = on.consumer_request("p", f"*.{step}.end")
        del body["action"]
        assert (await on.js.api(verb, body))["config"]["filter_subjects"] == [on.subject(f"*.{step}.end")]


@scenario
async def test_none_of_its_filters_is_part_of_another(on):
    await on.stream()
    for other in ("i.a.end", "*.a.*", ">"):
        refused = await on.refused(*on.consumer_request("p", "*.a.end", other))
        assert refused == (400, 10138, "consumer subject filters cannot overlap")
    await on.consumer("p", "*.a.end", "i.>")  # neither takes all of the other


@scenario
async def test_a_filter_that_nothing_fits_is_taken(on):
    await on.stream()
    assert (await on.consumer("p", filter_subjects=["elsewhere.>"]))["num_pending"] == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"deliver_policy": "new"}, "deliver policy can not be updated"),
        ({"ack_policy": "none"}, "ack policy can not be updated"),
    ],
)
def test_of_a_consumer_some_things_stay(play: Play, change: dict[str, str], words: str) -> None:
    async def body(on: World) -> None:
        await on.stream()
        await on.consumer("p", ">")
        assert await on.refused(*on.consumer_request("p", ">", action="update", **change)) == (500, 10012, words)

    play(body)


@scenario
async def test_its_stream_is_said_twice(on):
    await on.stream()
    verb, body = on.consumer_request("p", ">")
    assert (await on.refused(verb, body | {"stream_name": "another"}))[:2] == (400, 10056)


@scenario
async def test_consumers_are_listed_and_deleted(on):
    await on.stream()
    for name in "cab":
        await on.consumer(name, ">")
    assert (await on.js.api(f"CONSUMER.DELETE.{on.log}.a"))["success"]
    listed = await on.js.api(f"CONSUMER.LIST.{on.log}")
    assert (listed["total"], listed["limit"], [one["name"] for one in listed["consumers"]]) == (2, 256, ["b", "c"])
    names = await on.js.api(f"CONSUMER.NAMES.{on.log}", {"offset": 1})
    assert (names["total"], names["offset"], names["consumers"]) == (2, 1, ["c"])


# -- messages --------------------------------------------------------------------------------------------------------


@scenario
async def test_in_a_log_a_subject_is_written_once(on):
    await on.stream()
    assert await on.js.publish(on.subject("i._.start"), b"first") == 1
    with pytest.raises(JetStreamError) as refused:
        await on.js.publish(on.subject("i._.start"), b"second")
    assert (refused.value.code, refused.value.err_code) == (503, 10077)
    assert refused.value.description == "maximum messages per subject exceeded"
    assert await on.js.publish(on.subject("i._.outcome"), b"") == 2


def bucket(on: World, **changes: object) -> JsonObject:
    config = {**buckets.rules_bucket(), "name": f"KV_{on.saga}", "subjects": [f"{on.saga}.>"]}
    return {**config, "republish": {"src": f"{on.saga}.>", "dest": f"pushed.{on.saga}.>"}, **changes}


@scenario
async def test_in_a_bucket_the_last_one_stands(on):
    await on.js.api(f"STREAM.CREATE.KV_{on.saga}", bucket(on))
    assert [await on.js.publish(f"{on.saga}.{key}", body) for key, body in (("a", b"1"), ("b", b""), ("a", b"2"))] == [
        1,
        2,
        3,
    ]
    got = (await on.js.api(f"STREAM.MSG.GET.KV_{on.saga}", {"last_by_subj": f"{on.saga}.a"}))["message"]
    assert (got["subject"], got["seq"], base64.b64decode(got["data"])) == (f"{on.saga}.a", 3, b"2")
    empty = (await on.js.api(f"STREAM.MSG.GET.KV_{on.saga}", {"last_by_subj": f"{on.saga}.b"}))["message"]
    assert "data" not in empty
    assert (await on.refused(f"STREAM.MSG.GET.KV_{on.saga}", {"seq": 1}))[:2] == (404, 10037)
    assert (await on.js.api(f"STREAM.MSG.GET.KV_{on.saga}", {"seq": 2}))["message"]["subject"] == f"{on.saga}.b"


@scenario
async def test_many_are_read_at_once_in_the_order_of_the_stream(on):
    await on.js.api(f"STREAM.CREATE.KV_{on.saga}", bucket(on))
    for key in ("a", "b", "c", "a"):
        await on.js.publish(f"{on.saga}.{key}", key.encode())

    async def last(*subjects: str) -> list[tuple[str, int, bytes]]:
        found = await on.js.last(f"KV_{on.saga}", [f"{on.saga}.{one}" for one in subjects])
        return [(one.subject.removeprefix(f"{on.saga}."), one.sequence, one.body) for one in found]

    assert await last("a", "b", "missing") == [("b", 2, b"b"), ("a", 4, b"a")]
    assert await last(">") == [("b", 2, b"b"), ("c", 3, b"c"), ("a", 4, b"a")]
    assert await last("missing") == await last() == []
    assert await on.js.last(f"KV_{on.saga}x", [f"{on.saga}.a"]) == ()


@scenario
async def test_what_is_written_is_pushed(on):
    await on.js.api(f"STREAM.CREATE.KV_{on.saga}", bucket(on))
    heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
    await on.listen(f"pushed.{on.saga}.*", lambda subject, body: heard.put_nowait((subject, body)))
    await on.js.publish(f"{on.saga}.a", b"1")
    assert await heard.get() == (f"pushed.{on.saga}.a", b"1")
    await on.listen(f"{on.saga}.>", lambda subject, body: heard.put_nowait((subject, body)))
    await on.js.publish(f"{on.saga}.a.b", b"2")
    assert await heard.get() == (f"{on.saga}.a.b", b"2"), "what nobody stores elsewhere is heard, too"
    assert heard.empty()


@scenario
async def test_what_nobody_stores_is_unknown(on):
    with pytest.raises(UnavailableError):
        await on.js.publish(f"nobody.{on.saga}", b"1")


@scenario
async def test_a_message_that_is_too_large_is_refused(on):
    await on.stream()
    with pytest.raises(JetStreamError) as refused:
        await on.js.publish(on.subject("i._.start"), bytes(topology.MAX_MESSAGE + 1))
    assert (refused.value.code, refused.value.err_code) == (400, 10054)


@scenario
async def test_subjects_are_listed_by_a_filter_and_from_an_offset(on):
    await on.stream()
    for instance in ("c", "a", "b"):
        for register in ("start", "outcome"):
            await on.js.publish(on.subject(f"{instance}._.{register}"), b"")

    def listed(info: JsonObject) -> tuple[int, int, int, list[str]]:
        names = sorted(info["state"].get("subjects") or {})
        return info["total"], info["offset"], info["limit"], [name.split(".")[3] for name in names]

    assert listed(await on.subjects("*._.start")) == (3, 0, 100_000, ["a", "b", "c"])
    assert listed(await on.subjects("*._.start", offset=1)) == (3, 1, 100_000, ["b", "c"])
    assert listed(await on.subjects("*._.start", offset=3)) == (3, 3, 100_000, [])
    assert listed(await on.subjects("*._.finish")) == (0, 0, 0, [])
    assert "subjects" not in (await on.js.api(f"STREAM.INFO.{on.log}"))["state"]


@scenario
async def test_what_is_purged_is_gone_and_its_number_is_not_given_again(on):
    await on.js.api(f"STREAM.CREATE.KV_{on.saga}", bucket(on))
    for key in ("a", "b", "c"):
        await on.js.publish(f"{on.saga}.{key}", b"1")
    assert (await on.js.api(f"STREAM.PURGE.KV_{on.saga}", {"filter": f"{on.saga}.a"}))["purged"] == 1
    assert (await on.js.api(f"STREAM.PURGE.KV_{on.saga}", {"filter": f"{on.saga}.a"}))["purged"] == 0
    assert [one.subject for one in await on.js.last(f"KV_{on.saga}", [f"{on.saga}.>"])] == [
        f"{on.saga}.b",
        f"{on.saga}.c",
    ]
    assert (await on.js.api(f"STREAM.PURGE.KV_{on.saga}"))["purged"] == 2
    assert await on.js.publish(f"{on.saga}.a", b"1") == 4


@scenario
async def test_what_is_too_old_goes_by_itself(on):
    await on.js.api(f"STREAM.CREATE.KV_{on.saga}", bucket(on, max_age=topology.SECOND // 5))
    await on.js.publish(f"{on.saga}.a", b"1")
    assert len(await on.js.last(f"KV_{on.saga}", [f"{on.saga}.a"])) == 1
    while await on.js.last(f"KV_{on.saga}", [f"{on.saga}.a"]):
        await asyncio.sleep(0.02)
    assert (await on.refused(f"STREAM.MSG.GET.KV_{on.saga}", {"last_by_subj": f"{on.saga}.a"}))[:2] == (404, 10037)


# -- the same in every word ------------------------------------------------------------------------------------------


async def _conversation(on: World) -> list[object]:
    """Replies of every verb, one after the other."""
    said = [await on.stream(metadata={"x": "y"})]
    plain = {"name": f"{on.log}x", "subjects": [f"x.{on.saga}"]}
    said += [await on.js.api(f"STREAM.CREATE.{on.log}x", plain)]
    for config in (buckets.rules_bucket(), buckets.sidecars_bucket()):
        name = f"{config['name']}-{on.saga}"
        said += [await on.js.api(f"STREAM.CREATE.{name}", config | {"name": name, "subjects": [f"{name}.>"]})]
    said += [await on.consumer("p", "*.a.end", "*.b.end"), await on.consumer("q", filter_subjects=[on.subject(">")])]
    verb, _ = on.consumer_request("r")
    said += [
        await on.js.api(
            verb, {"stream_name": on.log, "config": {"durable_name": "r", "name": "r", "ack_policy": "explicit"}}
        )
    ]
    for instance in "ab":
        await on.js.publish(on.subject(f"{instance}._.start"), b"1")
    await on.js.publish(on.subject("a.a.end"), b"1")
    await _counted(on, p=1, q=3, r=3)
    said += [await on.js.api(f"CONSUMER.INFO.{on.log}.p"), await on.js.api(f"CONSUMER.LIST.{on.log}")]
    said += [await on.js.api(f"CONSUMER.NAMES.{on.log}"), await on.subjects("*._.start"), await on.subjects("x")]
    said += [await on.js.api(f"STREAM.INFO.{on.log}"), await on.js.api(f"STREAM.PURGE.{on.log}")]
    said += [await on.js.api(f"STREAM.INFO.{on.log}"), await on.js.api(f"CONSUMER.DELETE.{on.log}.p")]
    said += [await on.js.api(f"STREAM.UPDATE.{on.log}", on.config), await on.js.api(f"STREAM.DELETE.{on.log}")]
    return [told(each, on) for each in said]


async def _counted(on: World, **pending: int) -> None:
    """Wait until each consumer counts so many: a server counts a message after its ack."""
    while {each["name"]: each["num_pending"] for each in await _consumers(on)} != pending:
        await asyncio.sleep(0.02)


async def _consumers(on: World) -> list[JsonObject]:
    return (await on.js.api(f"CONSUMER.LIST.{on.log}"))["consumers"]


def test_every_reply_is_the_same_but_for_time_and_place(server: NatsServer) -> None:
    here, there = _played(in_memory, "", _conversation), _played(on_a_server, server.url, _conversation)
    assert here == there


# -- of the memory alone ---------------------------------------------------------------------------------------------


def test_pages_may_be_small() -> None:
    async def body() -> None:
        on = World(MemoryJetStream(MemoryStreams(pages=PageSizes(subjects=2, infos=1, names=1))), None)
        await on.stream()
        for instance in "abc":
            await on.js.publish(on.subject(f"{instance}._.start"), b"")
        first, second = [await on.subjects("*._.start", offset=offset) for offset in (0, 2)]
        assert (first["total"], first["limit"], len(first["state"]["subjects"])) == (3, 2, 2)
        assert len(second["state"]["subjects"]) == 1
        await on.js.api(f"STREAM.CREATE.{on.log}x", on.config | {"name": f"{on.log}x", "subjects": ["x"]})
        for verb in ("STREAM.LIST", "STREAM.NAMES"):
            page = await on.js.api(verb, {"offset": 1})
            assert (page["total"], page["limit"], len(page["streams"])) == (2, 1, 1)

    asyncio.run(body())


def test_a_verb_that_nobody_answers_is_silence() -> None:
    async def body() -> None:
        with pytest.raises(UnavailableError, match=r"did not answer FOO\.BAR"):
            await MemoryJetStream(MemoryStreams()).api("FOO.BAR")

    asyncio.run(body())


def test_a_cluster_takes_as_many_replicas_as_it_has_servers() -> None:
    async def body() -> None:
        on = World(MemoryJetStream(MemoryStreams(servers=3)), None)
        assert (await on.stream(num_replicas=3))["config"]["num_replicas"] == 3
        assert (await on.refused(f"STREAM.UPDATE.{on.log}", on.config | {"num_replicas": 5}))[1] == 10005

    asyncio.run(body())


TOKENS = st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=4)
FILTERS = st.builds(lambda tokens, tail: ".".join([*tokens, *tail]), TOKENS, st.sampled_from([[], [">"]]))
PLAIN = [".".join(each) for size in range(1, 6) for each in itertools.product("ab", repeat=size)]


@settings(max_examples=300)
@given(FILTERS, FILTERS)
def test_two_filters_overlap_where_one_subject_fits_both(one: str, other: str) -> None:
    assert overlap(one, other) == any(matches(each, (one,)) and matches(each, (other,)) for each in PLAIN)
