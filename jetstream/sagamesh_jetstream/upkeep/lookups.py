"""Questions to JetStream that may be answered by: it is not there. Nothing is decided here."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable, Mapping

from sagamesh_jetstream.client.ports import JetStream, JetStreamError, JsonObject
from sagamesh_jetstream.client.replies import CONSUMER_MISSING, MESSAGE_MISSING, STREAM_MISSING

MISSING = frozenset({STREAM_MISSING, CONSUMER_MISSING, MESSAGE_MISSING})
"""JetStream's codes (`err_code`) for what is not there."""


async def ask(js: JetStream, verb: str, body: JsonObject | None = None) -> JsonObject | None:
    """The reply; None: what was asked for is not there. Raises JetStreamError, UnavailableError."""
    try:
        return await js.api(verb, body)
    except JetStreamError as refused:
        if refused.err_code in MISSING:
            return None
        raise


async def ask_all(js: JetStream, questions: Mapping[str, tuple[str, JsonObject | None]]) -> dict[str, JsonObject]:
    """The replies by name, without those that say that it is not there."""
    answers = await asyncio.gather(*(ask(js, *question) for question in questions.values()))
    return {name: answer for name, answer in zip(questions, answers, strict=True) if answer is not None}


async def stored(js: JetStream, stream: str, subjects: Iterable[str]) -> dict[str, bytes]:
    """The last body on each of these subjects, as the stream's leader knows it; what is not there has no entry."""
    asked = {subject: (f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject}) for subject in subjects}
    replies = await ask_all(js, asked)
    return {subject: base64.b64decode(reply["message"].get("data", "")) for subject, reply in replies.items()}


async def subjects_in(js: JetStream, stream: str, wanted: str, info: JsonObject | None) -> list[str]:
    """Every subject of a stream that `wanted` takes: those of the first reply (`info`), and of the pages after it."""
    found = listed_subjects(info)
    while info is not None and len(found) < info.get("total", 0):
        info = await ask(js, f"STREAM.INFO.{stream}", {"subjects_filter": wanted, "offset": len(found)})
        if not (page := listed_subjects(info)):
            break
        found += page
    return list(dict.fromkeys(found))  # what is new meanwhile moves the pages


def listed_subjects(info: JsonObject | None) -> list[str]:
    """The subjects that the reply to a `STREAM.INFO` lists."""
    return [] if info is None else list(info["state"].get("subjects") or {})
