"""Instances as wholes, by their registers as they come: when one is decided, and when it has ended.

In most sagas no register says so: it follows from others, and `sagamesh.protocol.endings` knows from which. Here they
are kept for as long as an instance is open. What each register says for itself is told by `register_lines`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal, NamedTuple

from msgspec.structs import replace

from sagamesh.log.registers import NULL, Aborted, Cause, Done, Instance, Name, Register
from sagamesh.protocol.endings import ending, ending_names, outcome, outcome_names
from sagamesh.rules.local import LocalRules

MOST = 10_000
"""Open instances that are kept: some kilobytes each, and more than anybody watches."""


class Turn(NamedTuple):
    """What has become of an instance. `cause`: why it was aborted."""

    word: Literal["committed", "aborted", "completed", "compensated"]
    cause: Cause | None = None


class OpenInstances:
    """`see` takes registers in the order of the log. Of more than `most` that are open the oldest are forgotten.

    So nothing is told of them, nor what follows from what was written before anybody looked.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._rules: dict[tuple[str, str], LocalRules] = {}
        self._newest: dict[str, LocalRules] = {}
        self._open: OrderedDict[tuple[Instance, str], dict[Name, Register]] = OrderedDict()

    def learn(self, rules: LocalRules) -> None:
        """The rules of a revision, of any participant. An instance of an unknown one is seen by the newest."""
        self._rules[rules.saga, rules.revision] = self._newest[rules.saga] = rules

    def see(self, instance: Instance, register: Register) -> tuple[Turn, ...]:
        """What has become of an instance by a register of it: nothing, one thing, or two."""
        rules = self._rules.get((instance.saga, register.origin.revision)) or self._newest.get(instance.saga)
        if rules is None or register.name not in (*outcome_names(rules), *ending_names(rules)):
            return ()
        key = instance, register.origin.run
        known = self._open.setdefault(key, {})
        before = outcome(rules, known)
        known[register.name] = _light(register)
        turns = _turns(rules, known, decided=before is not None)
        if ending(rules, known) is not None:
            del self._open[key]
        elif len(self._open) > self._most:
            self._open.popitem(last=False)
        return turns


def _turns(rules: LocalRules, known: dict[Name, Register], *, decided: bool) -> tuple[Turn, ...]:
    """`decided`: whether the outcome was told before."""
    stands = outcome(rules, known)
    if stands is None:
        return ()
    cause = stands.cause if isinstance(stands, Aborted) else None
    told = () if decided else (Turn("aborted" if cause else "committed", cause),)
    if ending(rules, known) is None:
        return told
    return (*told, Turn("compensated" if cause else "completed"))


def _light(register: Register) -> Register:
    """Without the app's data, which may be large and decide nothing."""
    value = register.value
    return register._replace(value=replace(value, data=NULL)) if isinstance(value, Done) else register
