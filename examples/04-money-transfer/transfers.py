"""A thousand transfers at once between the two banks, while calls hang, a service and a sidecar are killed.

    python transfers.py                     # in a shell with `. .venv/bin/activate`
    python transfers.py --transfers 100

It starts the banks, a sidecar for each and a NATS server as processes of their own, and leaves nothing behind. The exit
code is 0 only if every transfer has finished, the banks have as much money as before, and their books agree.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sagamesh.language.model import Saga
from sagamesh.log.registers import Instance, Register
from sagamesh.rules.projection import project
from sagamesh_cli.client import send
from sagamesh_cli.errors import EnvironmentFault
from sagamesh_cli.local.example_services import ExampleService, books, serving
from sagamesh_cli.local.mesh import LocalMesh, MeshOptions, participants_of, read_sagas, running
from sagamesh_cli.local.sidecars import ProcessMember
from sagamesh_cli.local.signals import interruptible
from sagamesh_cli.output import Complaint, complain
from sagamesh_cli.views.open_instances import OpenInstances

HERE = Path(__file__).parent
ACCOUNTS = 10
"""Of each bank; the last one is closed."""
HANG_EVERY = 40
"""Every so many calls of a bank are left without an answer."""
SENDERS = 64
DOWN = 1.0
"""Seconds until the killed bank is started again."""
PATIENCE = 120.0
"""Seconds after which what is not finished counts as stuck."""

Transfer = dict[str, Any]


class Tally:
    """What has become of the transfers. `heard` takes registers as they are written."""

    def __init__(self, sagas: list[Saga]) -> None:
        self._open = OpenInstances()
        for saga in sagas:
            self._open.learn(next(iter(project(saga).values())))
        self.ended: dict[str, str] = {}
        self.causes: dict[str, str] = {}
        self._began = time.monotonic()

    def heard(self, instance: Instance, register: Register) -> None:
        for turn in self._open.see(instance, register):
            if turn.cause is not None:
                self.causes[instance.id] = turn.cause.reason or turn.cause.kind
            elif turn.word in ("completed", "compensated"):
                self.ended[instance.id] = turn.word

    async def reached(self, count: float) -> None:
        while len(self.ended) < count:
            await asyncio.sleep(0.05)

    def tell(self, news: str) -> None:
        print(f"{time.monotonic() - self._began:5.1f} s  {len(self.ended):4} finished  {news}", flush=True)


def plan(number: int, rng: random.Random) -> list[Transfer]:
    """From all accounts to all of the other bank, the closed ones as well; some of more than most accounts have."""
    transfers = []
    for n in range(1, number + 1):
        payer, payee = rng.sample(("north", "south"), 2)
        there, here = f"{payee}-{rng.randint(1, ACCOUNTS)}", f"{payer}-{rng.randint(1, ACCOUNTS)}"
        amount = rng.randint(5001, 9000) if n % 10 == 0 else rng.randint(1, 400)
        transfers.append({"transferId": f"t-{n}", "from": here, "to": there, "amount": amount})
    return transfers


def holdings(services: Mapping[str, ExampleService]) -> dict[str, int]:
    """How much money is where, as the banks show it. What has left one and is not yet in the other is on the way."""
    banks = {}
    for name, service in services.items():
        with urllib.request.urlopen(service.url) as answer:
            banks[name] = json.load(answer)
    found = {name: sum(account["balance"] for account in bank["accounts"].values()) for name, bank in banks.items()}
    debits = [debit for bank in banks.values() for debit in bank["debits"].values() if debit["state"] != "RETURNED"]
    arrived = {transfer for bank in banks.values() for transfer in bank["credits"]}
    return found | {"on the way": sum(debit["amount"] for debit in debits if debit["transfer"] not in arrived)}


async def kill_service(service: ExampleService, tally: Tally, when: float) -> None:
    await tally.reached(when)
    tally.tell(f"kill -9: the service of {service.name} is gone (exit status {await service.kill()})")
    await asyncio.sleep(DOWN)
    await service.start("--hang-every", str(HANG_EVERY))
    tally.tell(f"the service of {service.name} is back")


async def kill_sidecar(mesh: LocalMesh, name: str, tally: Tally, when: float) -> None:
    member = mesh.members[name]
    assert isinstance(member, ProcessMember)
    await tally.reached(when)
    tally.tell(f"kill -9: the sidecar of {name} is gone (exit status {await member.kill()})")
    await member.revived()
    tally.tell(f"the sidecar of {name} is back")


async def together(*works: Coroutine[Any, Any, None]) -> None:
    """All at once. The first that fails ends the others, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except ExceptionGroup as faults:
        raise faults.exceptions[0] from None


async def play(
    mesh: LocalMesh, services: Mapping[str, ExampleService], transfers: list[Transfer], tally: Tally
) -> None:
    """Send all at once, kill two processes on the way, and wait until everything is finished."""
    apis = {name: urls.api for name, urls in mesh.urls.items()}
    sending = [
        send(apis[transfer["from"].partition("-")[0]], "transfer.requested", transfer["transferId"], transfer)
        for transfer in transfers
    ]
    killing = [
        kill_service(services["south"], tally, len(transfers) * 0.25),
        kill_sidecar(mesh, "north", tally, len(transfers) * 0.5),
    ]
    try:
        async with asyncio.timeout(PATIENCE):
            await together(*sending, *killing, tally.reached(len(transfers)))
        tally.tell("that was all")
    except TimeoutError:
        tally.tell(f"not everything has finished within {PATIENCE:g} s")


async def run(number: int, seed: int) -> bool:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(SENDERS))
    file, transfers = str(HERE / "saga.yaml"), plan(number, random.Random(seed))
    sagas = read_sagas([file])
    tally = Tally(sagas)
    with tempfile.TemporaryDirectory(prefix="sagamesh-transfers-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        async with serving(HERE, participants_of(sagas), directory, "--hang-every", str(HANG_EVERY)) as services:
            before = holdings(services)
            apps = {one.name: one.url for one in services.values()}
            options = MeshOptions(files=[file], apps=apps, state=directory, processes=True)
            async with running(options, sagas, tally.heard, tally.tell) as mesh:
                tally.tell(f"{number} transfers are sent")
                await play(mesh, services, transfers, tally)
            after = holdings(services)
        print(sum(log.read_text().count("left unanswered") for log in directory.glob("*.service.log")), "calls hung")
        return conclude(number, tally, before, after, books(HERE)(directory))


def conclude(
    number: int, tally: Tally, before: dict[str, int], after: dict[str, int], discrepancies: list[str]
) -> bool:
    """Say how it ended; whether it ended well."""
    was, now = sum(before.values()), sum(after.values())
    rows = [(where, f"{before[where]:,}", f"{after[where]:,}") for where in before]
    for row in [("money", "before", "after"), *rows, ("sum", f"{was:,}", f"{now:,}")]:
        print("{:12}{:>12}{:>12}".format(*row))
    ends = Counter(tally.ended.values())
    stuck = number - ends.total()
    print(f"{number} transfers: {ends['completed']} completed, {ends['compensated']} compensated, {stuck} stuck")
    print("compensated because of", ", ".join(f"{n} {why}" for why, n in Counter(tally.causes.values()).most_common()))
    print("sum unchanged," if was == now else "sum CHANGED,", f"books {'WRONG' if discrepancies else 'balanced'}")
    print("".join(f"{sentence}\n" for sentence in discrepancies), end="")
    return not stuck and was == now and not discrepancies


def main() -> None:
    parser = argparse.ArgumentParser(description="Transfers between two banks, while processes die.")
    parser.add_argument("--transfers", type=int, default=1000, metavar="N", help="how many (default: 1000)")
    parser.add_argument("--seed", type=int, default=7, help="which transfers")
    options = parser.parse_args()
    try:
        sys.exit(not interruptible(run(options.transfers, options.seed)))
    except (Complaint, EnvironmentFault) as fault:
        complain(fault)
        sys.exit(fault.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
