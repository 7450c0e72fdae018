"""Where etcd and kube-apiserver come from: a cluster that is given, a folder, a cached build, or a build.

No registry of Python or Debian has them, so they are built from a small Go module of ordinary dependencies,
`tests/kubernetes/controlplane`, once: it takes five minutes, and is then found in the user's cache.

    python -m support.servers.programs      # finds them or builds them, and says where they are
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MODULE = Path(__file__).parents[2] / "kubernetes" / "controlplane"
NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
NEEDED = NAMES[:2]
STAMPED = "k8s.io/component-base/version"
PROBE = "github.com/spf13/cobra"
"""A small module of ours: if the proxy does not hand it out, it would not hand out the large ones either."""
PROBE_TIMEOUT = 60.0

WAYS = (
    "set KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver, or TEST_KUBECONFIG to a cluster for tests, "
    "or install Go {}.{} or newer where its module proxy answers"
)

Environment = Mapping[str, str]


class NoPrograms(Exception):  # noqa: N818 - not an error unless REQUIRE_CLUSTER is set
    """There is no control plane here, and why. Tests that need one are skipped."""


class WrongSource(Exception):  # noqa: N818
    """What the environment names cannot be used, or the build broke: never skipped, since somebody wanted it."""


@dataclass(frozen=True)
class Given:
    """A cluster that runs already."""

    kubeconfig: Path

    def __str__(self) -> str:
        return f"the cluster of {self.kubeconfig}"


@dataclass(frozen=True)
class Programs:
    """A folder with etcd and kube-apiserver; `built` from our module, and so of the version that it names."""

    folder: Path
    built: bool

    def __str__(self) -> str:
        return f"{'built' if self.built else 'found'} in {self.folder}"


Source = Given | Programs


def required(environment: Environment) -> bool:
    """Whether tests must fail where there is no control plane."""
    return environment.get("REQUIRE_CLUSTER", "") not in ("", "0")


def named(environment: Environment) -> Source | None:
    """What the environment asks for. Raises WrongSource."""
    if given := environment.get("TEST_KUBECONFIG"):
        if environment.get("TEST_KUBECONFIG_ALLOW") != "1":
            raise WrongSource(
                f"the tests would change the cluster of TEST_KUBECONFIG={given}: "
                "set TEST_KUBECONFIG_ALLOW=1 if nobody else needs it, or unset TEST_KUBECONFIG"
            )
        if not Path(given).is_file():
            raise WrongSource(f"TEST_KUBECONFIG={given} is not a file")
        return Given(Path(given).absolute())
    if assets := environment.get("KUBEBUILDER_ASSETS"):
        if missing := [name for name in NEEDED if not os.access(Path(assets) / name, os.X_OK)]:
            raise WrongSource(f"KUBEBUILDER_ASSETS={assets} lacks {' and '.join(missing)}")
        return Programs(Path(assets).absolute(), built=False)
    return None


def cache(environment: Environment) -> Path:
    """The folder of all that tests fetch or build once."""
    home = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME") or Path.home()) / ".cache"
    return Path(home) / "sagamesh"


def fingerprint(module: Path, compiler: str) -> str:
    """The name of a build: another one wherever its sources or `go version` differ."""
    digest = hashlib.sha256(compiler.encode())
    for source in sorted(module.glob("*.*")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def suffices(module: Path, compiler: str) -> bool:
    """Whether a compiler that says so of itself is as new as the module wants."""
    found = re.search(r"\bgo(\d+)\.(\d+)", compiler)
    return found is not None and (int(found[1]), int(found[2])) >= least_go(module)


def least_go(module: Path = MODULE) -> tuple[int, int]:
    wanted = re.search(r"^go (\d+)\.(\d+)", (module / "go.mod").read_text(), re.MULTILINE)
    assert wanted, "go.mod names no version of Go"
    return int(wanted[1]), int(wanted[2])


def kubernetes_version(module: Path = MODULE) -> str:
    """What the module builds, such as `v1.36.2`."""
    found = re.search(r"^\s*k8s\.io/kubernetes (v\d+\.\d+\.\d+)", (module / "go.mod").read_text(), re.MULTILINE)
    assert found, "go.mod names no k8s.io/kubernetes"
    return found[1]


def stamps(version: str) -> str:
    """Linker flags, without which a server calls itself `v0.0.0-master`, and no chart would be installed on it."""
    major, minor, _ = version.removeprefix("v").split(".")
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s -w", *(f"-X {STAMPED}.{name}={value}" for name, value in values.items())])


@functools.cache
def find() -> Source:
    """What the tests run against; builds it if need be. Raises NoPrograms and WrongSource."""
    if asked := named(os.environ):
        return asked
    try:
        return Programs(built(MODULE, "controlplane", "etcd and Kubernetes", build), built=True)
    except NoBuild as error:
        raise NoPrograms(f"no Kubernetes API server, and {error} to build one: {WAYS.format(*least_go())}") from None


class NoBuild(Exception):  # noqa: N818 - whether that is an error is for its receiver to say
    """What is needed for a build is not here."""


def built(module: Path, name: str, what: str, build: Callable[[Path], None]) -> Path:
    """The folder that `build` has filled from these sources with this compiler, once. Raises NoBuild and WrongSource.

    It is filled under another name, and gets its own when it is complete.
    """
    compiler = _compiler()
    if not suffices(module, compiler):
        raise NoBuild("no Go that is new enough" if compiler else "no Go")
    folder = cache(os.environ) / name / fingerprint(module, compiler)
    if not folder.is_dir():
        with _alone(folder.parent):
            if not folder.is_dir():  # nobody else has built it while we waited
                _probe(module)
                print(f"building {what} in {folder}: five minutes, once", file=sys.stderr, flush=True)
                with tempfile.TemporaryDirectory(prefix="building-", dir=folder.parent) as scratch:
                    place = Path(scratch) / folder.name
                    place.mkdir()
                    build(place)
                    place.rename(folder)
    return folder


def go(module: Path, *arguments: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the compiler that is here: it fetches no other one, and changes nothing in the module."""
    own = {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    return subprocess.run(
        ["go", *arguments],
        check=False,
        cwd=module,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def compile_into(place: Path, module: Path, flags: str, *packages: str) -> None:
    """Raises WrongSource where they do not build."""
    ended = go(module, "build", "-trimpath", "-buildvcs=false", f"-ldflags={flags}", "-o", f"{place}/", *packages)
    if ended.returncode != 0:
        raise WrongSource(f"what is in {module} does not build:\n{ended.stderr}")


def _compiler() -> str:
    """What `go version` says, or nothing."""
    return go(MODULE, "version").stdout.strip() if shutil.which("go") else ""


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _probe(module: Path) -> None:
    try:
        answer = go(module, "mod", "download", PROBE, timeout=PROBE_TIMEOUT)
    except subprocess.TimeoutExpired:
        raise NoBuild(f"no answer of the module proxy within {PROBE_TIMEOUT:g} s") from None
    if answer.returncode != 0:
        raise NoBuild(f"no answer of the module proxy ({answer.stderr.strip()})")


def build(place: Path) -> None:
    compile_into(place, MODULE, stamps(kubernetes_version()), ".")
    for name in NAMES:
        (place / name).symlink_to(MODULE.name)


def main() -> int:
    """Exit status 0 if tests have something to run against, or may be skipped."""
    try:
        print(f"control plane: {find()}")
    except WrongSource as error:
        print(error, file=sys.stderr)
        return 1
    except NoPrograms as error:
        print(error, file=sys.stderr)
        return int(required(os.environ))
    return 0


if __name__ == "__main__":
    sys.exit(main())
