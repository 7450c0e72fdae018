"""The API for the app: start sagas by events, look at instances, cancel them. Speaks HTTP; `instances` does the work.

Nothing is kept here: what was answered with 200 or 202 is in the log. A request that gets no answer, or a 503, can be
sent again as it is. `docs/api.md` is the page for its users.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from sagamesh import durations
from sagamesh.errors import EventError, UnavailableError, UnreadableError
from sagamesh.log import codec
from sagamesh.log.payload import UNDECODABLE
from sagamesh.log.registers import START, Cause, Instance, Register, Start
from sagamesh.protocol import binding, cloudevents, commands
from sagamesh.protocol.answers import MAX_DATA
from sagamesh.protocol.attempt import LogStuckError, TooLarge
from sagamesh.protocol.effects import Known
from sagamesh.protocol.view.instance import View
from sagamesh.rules.compiled import Rules
from sagamesh.text import LONGEST_REASON, listed, series
from sagamesh_sidecar.api import drain_command
from sagamesh_sidecar.api.instances import Instances, StartResult
from sagamesh_sidecar.api.lookups import Views
from sagamesh_sidecar.deliveries.parking import Parking
from sagamesh_sidecar.deliveries.tally import Tally
from sagamesh_sidecar.rules.rulebook import Rulebook
from sagamesh_sidecar.web.asgi import (
    Gone,
    Receive,
    Request,
    Response,
    Room,
    Scope,
    Send,
    answer,
    only_loopback,
    refusal,
)
from sagamesh_sidecar.web.problems import ProblemError

logger = logging.getLogger("sagamesh.api")

MAX_BODY = MAX_DATA
"""Bytes of a request's body: what an event's data may have. A batch shares them."""
BODIES = 16 * 1024 * 1024
"""Bytes of all bodies in hand, 64 of the largest: while the log hangs, hundreds of them would fill the memory."""
MAX_WAIT = 300.0
"""Seconds that a client may wait: who waits for longer can ask again, and may then meet another pod."""
PATIENCE = 30.0
"""Seconds that the log may take to take a start or a cancel: several times what a cluster needs
to elect a leader."""
NAMED = 10
"""How many events an answer names at most: so many fit into a few lines."""
CLIP = 100
"""How many characters of what was sent an answer repeats at most: enough to know it again."""

WORST_FIRST = (503, 500, 413, 409, 422, 202, 200)
"""Of the statuses of several starts, the first of these that is among them stands outside."""

Handler = Callable[[Request], Awaitable[Response]]


class Cancel(Struct, forbid_unknown_fields=True):
    """The body of a cancel."""

    reason: Annotated[str, Meta(max_length=LONGEST_REASON)] = ""


class Entry(Struct, kw_only=True):
    """What became of one start. `code` and `detail` only where it failed, `instance` only where it was waited for."""

    saga: str
    id: str | UnsetType = UNSET
    run: str | UnsetType = UNSET
    duplicate: bool | UnsetType = UNSET
    status: int
    code: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    instance: View | UnsetType | None = UNSET


class Api:
    """An ASGI app."""

    def __init__(
        self,
        *,
        instances: Instances,
        rulebook: Rulebook,
        parking: Parking,
        tally: Tally,
        namespace: str,
        now: Callable[[], float],
        drain: Callable[[], Awaitable[int]],
    ) -> None:
        self.instances = instances
        self.rulebook = rulebook
        self.namespace = namespace
        self.views = Views(instances, rulebook, parking, tally, now)
        self.drain = drain
        self.room = Room(BODIES)
        self.close = self.views.close
        self._routes: dict[str, dict[str, Handler]] = {
            "/v1/events": {"POST": self._start},
            "/v1/sagas/SAGA/ID": {"GET": self._get, "HEAD": self._get},
            "/v1/sagas/SAGA/ID/cancel": {"POST": self._cancel},
            drain_command.PATH: {"POST": self._drain},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, self.room)
        try:
            response = await self._respond(request)
        except Gone:
            return
        finally:
            request.release()
        await answer(send, response)

    async def _respond(self, request: Request) -> Response:
        try:
            only_loopback(request)
            return await self._handler(request)(request)
        except ProblemError as raised:
            problem = raised
        except UnavailableError:
            problem = ProblemError("log-unavailable", "the log does not answer just now; send the request again")
        except UnreadableError as error:
            problem = ProblemError("unreadable", str(error))
        except Gone:
            raise
        except MemoryError:
            problem = ProblemError("busy", "there is no memory left just now; send the request again")
        except Exception:
            logger.exception("a request failed")
            problem = ProblemError("internal", "this is a fault of the sidecar; its log says more")
        return refusal(problem)

    def _handler(self, request: Request) -> Handler:
        handlers = next((by for path, by in self._routes.items() if _leads_to(path, request.path)), None)
        if handlers is None:
            paths = series((path for path in self._routes if path != drain_command.PATH), "and")
            raise ProblemError("no-such-path", f"there are {paths}")
        if request.method not in handlers:
            allowed = ", ".join(handlers)
            raise ProblemError("method-not-allowed", f"this path takes {allowed}", headers={"allow": allowed})
        return handlers[request.method]

    # -- starts ----------------------------------------------------------------------------------------------------

    async def _start(self, request: Request) -> Response:
        wait = _wait(request)
        entries = await self._start_all(request, await request.body(MAX_BODY))
        if wait:
            request.release()
            await request.unless_gone(self._wait_for(entries, wait))
        status = next(status for status in WORST_FIRST if any(entry.status == status for entry in entries))
        if status < 400:
            return _json({"instances": entries}, status)
        worst = next(entry for entry in entries if entry.status == status)
        raise ProblemError(str(worst.code), str(worst.detail), more={"instances": entries})

    async def _start_all(self, request: Request, body: bytes) -> list[Entry]:
        """What becomes of every start that a body asks for. Where one has no key nothing is started."""
        events = _events(request, body)
        starts = [(rules, event) for event in events for rules in self._started_by(event.event)]
        keys = [_key(rules, event) for rules, event in starts]
        if any(isinstance(key, ProblemError) for key in keys):
            return [_not_started(rules, key) for (rules, _), key in zip(starts, keys, strict=True)]
        trace = codec.trace_of(request.headers)
        named = zip(starts, map(str, keys), strict=True)
        return await asyncio.gather(*(self._entry(rules, key, event, trace) for (rules, event), key in named))

    def _started_by(self, event: str) -> tuple[Rules, ...]:
        """The rules of every saga that an event starts, at least one."""
        if startable := self.rulebook.started_by(event):
            return startable
        self._expect_rules()
        events = sorted({rules.local.start_event for rules in self.rulebook.startable})
        may = f"what may be started here: {listed(events, NAMED)}" if events else "nothing may be started here"
        raise ProblemError("nobody-listens", f"{event[:CLIP]!r} starts no saga at this participant; {may}")

    async def _entry(self, rules: Rules, key: str, event: Start, trace: str) -> Entry:
        """What becomes of one start."""
        saga = rules.local.saga
        try:
            started = await self._start_one(rules, key, event, trace)
        except ProblemError as problem:
            return _failed(rules, problem)
        entry = Entry(
            saga=saga,
            id=started.id,
            run=started.run,
            duplicate=started.duplicate,
            status=200 if started.duplicate else 202,
        )
        if not started.same:
            entry.status, entry.code = 409, "key-conflict"
            entry.detail = f"instance {started.id!r} of saga {saga!r} was started with another payload"
        return entry

    async def _start_one(self, rules: Rules, key: str, event: Start, trace: str) -> StartResult:
        try:
            async with _patience("start-unknown", "the start may be in the log or not; send the same event again"):
                started = await self.instances.start(rules, key, event, trace)
        except UnreadableError as error:
            raise ProblemError("unreadable", str(error)) from error
        if isinstance(started, TooLarge):
            raise ProblemError("too-large", f"the event cannot be stored: {started}")
        if started is None:
            raise ProblemError("start-unknown", "the log did not confirm the start; send the same event again")
        return started

    async def _wait_for(self, entries: list[Entry], wait: float) -> None:
        """Add to each entry that did not fail how its instance stands when it is finished or the wait ends."""
        good = [entry for entry in entries if entry.status < 400]
        places = [Instance(self.namespace, entry.saga, str(entry.id)) for entry in good]
        seen = await asyncio.gather(*(self.views.wait(place, wait) for place in places), return_exceptions=True)
        for entry, view in zip(good, seen, strict=True):
            entry.instance = view if isinstance(view, View) else None  # started is started, whatever reading it gives

    # -- for `sagamesh-sidecar drain`, not for apps ----------------------------------------------------------------

    async def _drain(self, _request: Request) -> Response:
        return _json({"givenBack": await self.drain()})

    # -- one instance ----------------------------------------------------------------------------------------------

    async def _get(self, request: Request) -> Response:
        wait, instance = _wait(request), self._instance(request)
        stored = await self._find(request, instance)
        return _json(await request.unless_gone(self.views.wait(instance, wait, stored)))

    async def _cancel(self, request: Request) -> Response:
        instance, reason = self._instance(request), _reason(await request.body(MAX_BODY))
        start = next(register for register in await self._find(request, instance) if register.name == START)
        rules = self.rulebook.of(instance.saga, start.origin.revision)
        if rules is None:
            raise ProblemError("rules-missing", self.rulebook.lacking(instance.saga, start.origin.revision))
        async with _patience("log-unavailable", "the cancel may be in the log or not; send it again"):
            known = await self.instances.cancel(rules, start, instance, reason)
        if known.gone:
            raise _unknown(request)
        return self._cancelled(instance, known, await self.instances.look(instance), Cause("cancelled", reason))

    def _cancelled(self, instance: Instance, known: Known, stored: tuple[Register, ...], cause: Cause) -> Response:
        """The answer to a cancel. The outcome may also be written by whoever carries this very cancel on."""
        seen = self.views.show(instance, known.registers.values(), stored)
        if seen is None or seen.outcome is None:
            raise ProblemError("pivot-started", "the pivot is at work, and decides; look at the instance, or try again")
        if seen.cause != cause:
            detail = f"the instance is {seen.outcome} already"
            raise ProblemError("decided", detail, more={"outcome": seen.outcome, "cause": seen.cause})
        return _json(seen)

    def _instance(self, request: Request) -> Instance:
        _, _, saga, key, *_ = request.path
        if self.rulebook.newest(saga) is None:
            self._expect_rules()
            raise ProblemError("unknown-saga", f"this participant has no part in a saga {saga[:CLIP]!r}")
        return Instance(self.namespace, saga, commands.id_of(key))

    async def _find(self, request: Request, instance: Instance) -> tuple[Register, ...]:
        stored = await self.views.find(instance)
        if not stored:
            raise _unknown(request)
        return stored

    def _expect_rules(self) -> None:
        """What is not known is no reason for a 404 before the rules were read."""
        if not self.rulebook.loaded.is_set():
            raise ProblemError("rules-missing", "the sidecar has not read its rules yet; send the request again")


def _leads_to(path: str, segments: tuple[str, ...]) -> bool:
    """Whether a request's path is this one, where what stands in capitals may be anything."""
    wanted = path.split("/")[1:]
    return len(wanted) == len(segments) and all(w.isupper() or w == s for w, s in zip(wanted, segments, strict=True))


@asynccontextmanager
async def _patience(code: str, detail: str) -> AsyncIterator[None]:
    """Core tries a write until it is answered; a client is told before that."""
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except (TimeoutError, UnavailableError, LogStuckError) as error:
        raise ProblemError(code, detail) from error


def _events(request: Request, body: bytes) -> tuple[Start, ...]:
    try:
        return cloudevents.parse(request.headers, body)
    except binding.FormatError as error:
        raise ProblemError("not-json", str(error)) from error
    except EventError as error:
        raise ProblemError("bad-event", str(error)) from error


def _key(rules: Rules, event: Start) -> str | ProblemError:
    """The id of the instance that an event starts; or that its key cannot be made."""
    try:
        return commands.instance_id(rules, event)
    except EventError as error:
        return ProblemError("bad-key", str(error))


def _not_started(rules: Rules, key: str | ProblemError) -> Entry:
    """Of a start that was not even tried: its own key cannot be made, or that of another."""
    if isinstance(key, ProblemError):
        return _failed(rules, key)
    return _failed(rules, ProblemError("not-started", "nothing was started, since another one has no key"))


def _failed(rules: Rules, problem: ProblemError) -> Entry:
    return Entry(saga=rules.local.saga, status=problem.status, code=problem.code, detail=problem.detail)


def _wait(request: Request) -> float:
    """Seconds that the client waits for the instance to finish."""
    text = request.query("wait")
    if text is None:
        return 0.0
    try:
        seconds = durations.parse(text)
    except ValueError as error:
        raise ProblemError("bad-wait", str(error)) from error
    if seconds > MAX_WAIT:
        raise ProblemError("bad-wait", f"the longest wait is {MAX_WAIT / 60:g}m; this is {text}")
    return seconds


def _reason(body: bytes) -> str:
    if not body.strip():
        return ""
    try:
        return msgspec.json.decode(body, type=Cancel).reason
    except UNDECODABLE as error:
        raise ProblemError(
            "bad-body", f'expected {{"reason": TEXT}}, of {LONGEST_REASON} characters at most: {error}'
        ) from error


def _unknown(request: Request) -> ProblemError:
    """Of the instance that a request names by its key, or by its id: said as it was sent."""
    _, _, saga, key, *_ = request.path
    return ProblemError("unknown-instance", f"saga {saga!r} has no instance with the key {key[:CLIP]!r}")


def _json(value: object, status: int = 200) -> Response:
    return Response(status, msgspec.json.encode(value))
