"""What a Pod may ask of its sidecar, by annotations: these and no others, and never in a way that is not understood."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sagamesh.api_group import PREFIX
from sagamesh.environment import LAST_PORT, LOG_LEVELS, MOST_CONCURRENCY
from sagamesh.text import series, shortened, whole

APP_PORT, CONCURRENCY, LOG_LEVEL, NATIVE = "app-port", "concurrency", "log-level", "native-sidecar"
CPU_REQUEST, MEMORY_REQUEST, MEMORY_LIMIT = "cpu-request", "memory-request", "memory-limit"
ANNOTATIONS = (APP_PORT, CONCURRENCY, LOG_LEVEL, CPU_REQUEST, MEMORY_REQUEST, MEMORY_LIMIT, NATIVE)
"""What follows the prefix."""
# No quantity of a Pod has more digits, and with so many nothing overflows.
QUANTITY = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(m|k|Ki|M|Mi|G|Gi|T|Ti)?", re.ASCII)
FACTORS = {"m": Decimal("0.001"), "": Decimal(1)} | {
    unit: Decimal(base) ** power
    for power, letter in enumerate(("k", "M", "G", "T"), 1)
    for unit, base in ((letter, 1000), (f"{letter.upper()}i", 1024))
}
"""Kubernetes' own suffixes, decimal and binary."""


SHOWN = 40
"""Characters of a wrong value that are shown: enough to know it again, and a refusal stays one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """None: nothing was said. Quantities are those of Kubernetes, as texts."""

    app_port: int | None = None
    concurrency: int | None = None
    log_level: str | None = None
    cpu_request: str = "20m"  # it keeps a place on the node; there is no limit, for whoever calls waits for it
    memory_request: str = "64Mi"  # an idle sidecar takes 43
    memory_limit: str = "256Mi"  # six times as much: for the bodies of all that it may have under way at once
    native: bool = True


def wishes(annotations: Mapping[str, str], known: Sequence[str] = ()) -> tuple[Wishes, list[str]]:
    """What the annotations ask, and a warning for each of ours that asks nothing; `known` ones are not for us.

    Raises ValueError, with a sentence, where one has a value that it cannot have.
    """
    ours = {key.removeprefix(PREFIX): value for key, value in annotations.items() if key.startswith(PREFIX)}
    warnings = [
        f"the annotation {PREFIX}{name} is not known; there are {', '.join(ANNOTATIONS)}"
        for name in sorted(ours)
        if name not in ANNOTATIONS and PREFIX + name not in known
    ]
    default = Wishes()
    asked = Wishes(
        app_port=_whole(ours, APP_PORT, LAST_PORT),
        concurrency=_whole(ours, CONCURRENCY, MOST_CONCURRENCY),
        log_level=_one_of(ours, LOG_LEVEL, LOG_LEVELS),
        cpu_request=_quantity(ours, CPU_REQUEST, default.cpu_request),
        memory_request=_quantity(ours, MEMORY_REQUEST, default.memory_request),
        memory_limit=_quantity(ours, MEMORY_LIMIT, default.memory_limit),
        native=_one_of(ours, NATIVE, ("true", "false")) != "false",
    )
    if amount(asked.memory_request) > amount(asked.memory_limit):
        raise ValueError(
            f"the sidecar's memory request of {asked.memory_request} is more than its limit of {asked.memory_limit}; "
            f"set {PREFIX}{MEMORY_REQUEST} and {PREFIX}{MEMORY_LIMIT} to fit each other"
        )
    return asked, warnings


def amount(quantity: str) -> Decimal:
    """The number that a quantity means; it must be one."""
    parts = QUANTITY.fullmatch(quantity)
    assert parts is not None
    return Decimal(parts[1]) * FACTORS[parts[2] or ""]


def _whole(ours: Mapping[str, str], name: str, most: int) -> int | None:
    text = ours.get(name)
    if text is None:
        return None
    if (number := whole(text, 1, most)) is None:
        raise _wrong(name, text, f"a whole number from 1 to {most}")
    return number


def _one_of(ours: Mapping[str, str], name: str, values: Sequence[str]) -> str | None:
    text = ours.get(name)
    if text is not None and text not in values:
        raise _wrong(name, text, series(values, "or"))
    return text


def _quantity(ours: Mapping[str, str], name: str, default: str) -> str:
    text = ours.get(name, default)
    if not (QUANTITY.fullmatch(text) and amount(text)):
        raise _wrong(name, text, f"a quantity above zero, such as {default}")
    return text


def _wrong(name: str, text: str, rule: str) -> ValueError:
    return ValueError(f"the annotation {PREFIX}{name} is {shortened(text, SHOWN)!r}; it must be {rule}")
