"""`sagamesh-sidecar`: one sidecar, set by its environment, stopped by SIGTERM; and `sagamesh-sidecar drain`."""

from __future__ import annotations

import sys

from sagamesh.errors import SettingsError
from sagamesh_sidecar.api.drain_command import drain
from sagamesh_sidecar.errors import DrainError, NoSidecarError, PortError
from sagamesh_sidecar.settings import from_environment

UNWANTED = "aiohttp"
"""nats-py takes it along wherever it lies, for WebSockets, which no sidecar speaks: 9 MiB, and a tenth of a second."""
USAGE = "usage: sagamesh-sidecar [drain]; everything else is set by the environment"


def main() -> None:
    """Exit 1: not drained in time. 2: a setting or the usage is wrong. 3: no port to listen on, or no sidecar to drain.

    A drain that gave deliveries back unfinished is one all the same: another replica has them.
    """
    try:
        _carry_out(sys.argv[1:])
    except DrainError as error:
        sys.exit(_say(error, 1))
    except SettingsError as error:
        sys.exit(_say(error, 2))
    except (NoSidecarError, PortError) as error:
        sys.exit(_say(error, 3))


def _carry_out(arguments: list[str]) -> None:
    if arguments == ["drain"]:
        given_back = drain(from_environment())
        print(f"drained; {given_back} deliveries were given back unfinished" if given_back else "drained")
    elif arguments:
        raise SettingsError(USAGE)
    else:
        settings = from_environment()
        sys.modules[UNWANTED] = None  # type: ignore[assignment]  # by which Python takes it for not installed
        from sagamesh_sidecar import process  # noqa: PLC0415 - a drain must not take the memory of a second sidecar

        process.run(settings)


def _say(error: Exception, code: int) -> int:
    print(f"sagamesh-sidecar: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
