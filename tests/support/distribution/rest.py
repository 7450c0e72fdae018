"""How everything must be when nothing happens any more: what stands in NATS, what is gone, and what is said of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sagamesh.distribution import buckets, topology
from sagamesh.distribution.plan import installation_of, readable
from sagamesh.log import codec, registers
from sagamesh.log.registers import START, SagaKey
from sagamesh.rules.codec import encode_rules
from sagamesh_operator.sagas.acceptance import Acceptance, judge
from support.distribution.operators import INSTALLATION

if TYPE_CHECKING:
    from support.distribution.world import World

QUIET = 20.0
"""Seconds for which operators have nothing more to do, when all is as it should be."""


async def check(world: World, when: str, *, quiet: bool = True) -> None:
    """Blame whoever left something undone."""
    for problem in [*problems(world, quiet=quiet), *await _left_over(world), *(_unquiet(world) if quiet else ())]:
        world.witness.blame(f"{when}: {problem}")


def problems(world: World, *, quiet: bool) -> list[str]:
    """Everything that is not as it should be."""
    found = [problem for key in _every(world) for problem in about(world, key)]
    for operator in world.living:
        if operator.failure is not None:
            found.append(f"{operator.name} has ended: {operator.failure!r}")
        if (shown := set(operator.gauge("saga_condition"))) != set(world.cluster.objects):
            found.append(f"{operator.name} measures {sorted(shown)}, and there are {sorted(world.cluster.objects)}")
        # Of two that retire a saga at once, one may see in the midst of it something that the other has just deleted.
        retiring = [key for key in operator.gauge("saga_retiring_instances") if not _is_riddle(world, key)]
        if retiring and (quiet or world.crowd == 1):
            found.append(f"{operator.name} measures that {sorted(retiring)} are retiring")
    return found


def about(world: World, key: SagaKey) -> list[str]:
    """What is wrong with one saga."""
    document = world.cluster.objects.get(key)
    if document is None:
        return list(_still_there(world, key))
    verdict = judge(document)
    foreign = _is_foreign(world, key)
    wrong = list(_not_said(world, key, verdict, foreign=foreign))
    if verdict.documents and not foreign:
        wrong += _not_standing(world, key, verdict)
    return wrong


def _every(world: World) -> list[SagaKey]:
    return sorted({*world.cluster.objects, *(key for key, _ in world.witness.revisions), SagaKey("shop", "ghost")})


def _is_foreign(world: World, key: SagaKey) -> bool:
    log = world.log_of(key.saga)
    return log is not None and installation_of(log.config) != INSTALLATION


def _is_riddle(world: World, key: SagaKey) -> bool:
    """Whether somebody removed rules by which instances run: nobody can tell whether these have ended, so all stays."""
    if world.log_of(key.saga) is None:
        return False
    [stream] = registers.streams(*key)
    started = world.streams.last(stream, [registers.filter_subject(*key, START)])
    held = {rules.revision for rules in readable(world.entries(key.saga).values())}
    return any(codec.decode(message).origin.revision not in held for message in started)


def _still_there(world: World, key: SagaKey) -> list[str]:
    if _is_riddle(world, key):
        return []
    log, entries = world.log_of(key.saga), world.entries(key.saga)
    wrong = []
    if log is not None and not _is_foreign(world, key):
        wrong.append(f"{key} was deleted, and its log is there")
    if entries:
        wrong.append(f"{key} was deleted, and {sorted(entries)} are there")
    return wrong


def _not_standing(world: World, key: SagaKey, verdict: Acceptance) -> list[str]:
    log, entries = world.log_of(key.saga), world.entries(key.saga)
    if log is None:
        return [f"{key} has no log"]
    wrong = []
    [wanted] = topology.streams(*key)
    if changed := {field for field, value in wanted.items() if log.config.get(field) != value}:
        wrong.append(f"{changed} of the log of {key} are not as wanted")
    for participant, rules in verdict.documents.items():
        heard = set(log.consumers.get(participant, {}).get("filter_subjects", ()))
        if missing := topology.filters(rules) - heard:
            wrong.append(f"{participant} does not hear {sorted(missing)} of {key}")
        if entries.get(buckets.rules_subject(rules)) != encode_rules(rules):
            wrong.append(f"{participant} has no rules of {key}")
    active = {subject: body.decode() for subject, body in entries.items() if buckets.is_active_key(subject) and body}
    rules = next(iter(verdict.documents.values()))
    if active != {buckets.active_subject(*_starter(rules)): verdict.revision}:
        wrong.append(f"{key} should be active as {verdict.revision}, and there is {active}")
    return wrong


def _starter(rules: Any) -> tuple[str, str, str]:
    return rules.namespace, rules.start_participant, rules.saga


def _not_said(world: World, key: SagaKey, verdict: Acceptance, *, foreign: bool) -> list[str]:
    """What the status must say, by what is true."""
    document = world.cluster.objects[key]
    status, generation = document["status"], document["metadata"]["generation"]
    said = {each["type"]: (each["status"], each["reason"]) for each in status.get("conditions", ())}
    if not verdict.documents:
        wanted = {"Accepted": ("False", verdict.reason), "Distributed": ("False", "NotAccepted")}
    elif foreign:
        wanted = {"Accepted": ("True", verdict.reason), "Distributed": ("False", "ForeignStream")}
    else:
        wanted = {"Accepted": ("True", verdict.reason), "Distributed": ("True", "Distributed")}
    wrong = [
        f"{kind} of {key} is {said.get(kind)}, not {what}" for kind, what in wanted.items() if said.get(kind) != what
    ]
    if (told := status.get("observedGeneration")) != generation:
        wrong.append(f"the status of {key} is of generation {told}, not {generation}")
    if verdict.documents and not foreign and status.get("activeRevision") != verdict.revision:
        wrong.append(f"the active revision of {key} is said to be {status.get('activeRevision')}")
    if (readiness := _readiness(world, key, verdict)) != status.get("participants"):
        wrong.append(f"of {key} it is said {status.get('participants')}, not {readiness}")
    return wrong


def _readiness(world: World, key: SagaKey, verdict: Acceptance) -> list[dict[str, Any]]:
    found = []
    for name in verdict.documents:
        pods = [pod for pod in world.pods if pod.participant == name]
        synced = sum(verdict.revision in pod.rulebook.holds.get(key.saga, ()) for pod in pods)
        found.append({"name": name, "sidecars": len(pods), "synced": synced})
    return found


async def _left_over(world: World) -> list[str]:
    """By the product's own words: what NATS holds of sagas, which are all there."""
    left = await world.product.left_over(world.living[0].nats, INSTALLATION)
    ours = {key for key in world.cluster.objects if judge(world.cluster.objects[key]).documents}
    strange = {(*key,) for key in left if not _is_riddle(world, key)} - {(*key,) for key in world.cluster.objects}
    missing = {(*key,) for key in ours if not _is_foreign(world, key)} - {(*key,) for key in left}
    return [f"{sorted(strange)} count as left over"] * bool(strange) + [f"{sorted(missing)} are not seen"] * bool(
        missing
    )


def _unquiet(world: World) -> list[str]:
    since = asyncio.get_running_loop().time() - world.witness.last_write
    return [] if since > QUIET else [f"an operator still wrote something {since:.1f} s ago"]
