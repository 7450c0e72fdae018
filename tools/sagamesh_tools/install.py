"""`make install`: a virtual environment, and what a checkout needs in it; each step is a line while it is done.

Run as a script by any Python, before anything is there: by the standard library alone, without words of newer ones.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LEAST = (3, 11)
"""As `requires-python` says in pyproject.toml."""
FETCHED = re.compile(r"\s+(?:Downloading|Using cached) ([^/\s]+?)-([^-\s]+)(?:-\S+\.whl|\.tar\.gz) (\(.*\))")
UNPACKED = re.compile(r"Installing collected packages: (.*)")


def main(arguments: list[str]) -> int:
    """The exit status. `arguments`: the environment, the constraints, and what is wanted, as pip is told."""
    environment, constraints, wanted = arguments
    if sys.version_info < LEAST:
        print("Sagamesh needs Python 3.11 or newer; set PYTHON=python3.11", file=sys.stderr)
        return 1
    programs = Path(environment) / "bin"
    if not all(
        (programs / name).exists() for name in ("python", "pip")
    ):  # else it may be of another Python, and stays so
        say(f"a virtual environment in {environment}, of Python {sys.version.split()[0]}")
        status = subprocess.run([sys.executable, "-m", "venv", environment], check=False).returncode
        if status:
            return status
    say(f"the packages of {wanted}, at the versions of {constraints}: a minute or two")
    pip = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    return follow([*pip, "--progress-bar", "off", "--constraint", constraints, "--editable", wanted])


def follow(command: list[str]) -> int:
    """Run pip, and say of each of its lines what people want to know. Its complaints go where they went."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if told := told_of(line):
                say(told)
    return process.returncode


def told_of(line: str) -> str:
    """Of a line of pip's: what is said. Empty: nothing."""
    if fetched := FETCHED.match(line):
        return "  {} {} {}".format(*fetched.groups())
    if unpacked := UNPACKED.match(line):
        packages = unpacked[1].split(", ")
        return f"{len(packages)} packages are unpacked: half a minute" if packages[1:] else f"{packages[0]} is unpacked"
    return ""


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
