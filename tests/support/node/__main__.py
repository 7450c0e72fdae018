"""Runs the tests of tests/node on a node of their own: `python -m support.node ARGUMENTS OF PYTEST`.

What needs a network comes first: programs and images. Then the tests begin, where nothing but this machine is in reach.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from support.node import machine, parts
from support.servers import programs

TESTS = Path(__file__).parents[2] / "node"
IMAGES = "TEST_NODE_IMAGES"
"""Names the folder with images; by it the tests know that they run in namespaces of their own."""


def main(arguments: list[str]) -> int:
    """The exit status of pytest; 0 where no node can be had, unless REQUIRE_NODE is set."""
    try:
        parts.find()
    except (parts.NoNode, programs.WrongSource) as error:
        print(f"no node: {error}", file=sys.stderr)
        return int(isinstance(error, programs.WrongSource) or os.environ.get("REQUIRE_NODE", "") not in ("", "0"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was changed is put back then, too
    with (
        tempfile.TemporaryDirectory(prefix="sagamesh-node-", dir="/var/tmp") as images,
        machine.restored(Path(images).name),
    ):
        build = ["unshare", "--mount", sys.executable, "-m", "support.node.images", images]
        subprocess.run(build, check=True)
        tests = [*machine.ALONE, sys.executable, "-m", "pytest", str(TESTS), *arguments]
        return subprocess.run(tests, check=False, env={**os.environ, IMAGES: images}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
