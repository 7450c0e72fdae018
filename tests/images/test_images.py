"""What the images hold, without a builder: one wheel with one extra, started as the container would be.

An environment of its own for each image, at the versions of constraints.txt; then the entry point, with the variables
of the injected container or the chart, as uid 65532 without a home, in a directory that it cannot write to.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.processes.stage import run
from support.processes.web import Answer, ask
from support.servers.ports import free_ports

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "images" / "Dockerfile").read_text()
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
USER = 65532
BUILDERS = ("pip", "setuptools", "wheel", "hatchling")
EXTRAS = {"sidecar": "sidecar", "operator": "operator", "injector": "operator"}
ENVIRONMENT = dict(re.findall(r"^(?:ENV| {3}) (HOME|LANG|PYTHON\w+)=(\S+)", DOCKERFILE, re.MULTILINE))
"""What the image itself sets: no home but the root, which nobody can write to."""
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: nobody, user: {}}]
"""


def _reachable(path: Path) -> bool:
    """Whether anybody may get there."""
    return all(part.stat().st_mode & stat.S_IXOTH for part in (path, *path.parents))


def _interpreter() -> str:
    """The Python of this run, or the system's where the former lies in somebody's home."""
    own = Path(getattr(sys, "_base_executable", sys.executable))
    system = Path(f"/usr/bin/python3.{sys.version_info.minor}")
    return str(next((one for one in (own, system) if one.exists() and _reachable(one.resolve())), own))


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that the image's user reaches, unlike those of pytest."""
    directory = Path(tempfile.mkdtemp(prefix="sagamesh-images-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def wheel(place: Path) -> Path:
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", place, ROOT], check=True)
    [built] = place.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environments(place: Path, wheel: Path) -> dict[str, Path]:
    """By extra: as the Dockerfile makes them."""
    return {extra: installed(wheel, extra, place / extra) for extra in dict.fromkeys(EXTRAS.values())}


@pytest.fixture(scope="module")
def command_line(place: Path, wheel: Path) -> Path:
    """It is in no image: people install it."""
    return installed(wheel, "cli", place / "cli")


def installed(wheel: Path, extra: str, environment: Path) -> Path:
    subprocess.run([_interpreter(), "-m", "venv", "--without-pip", environment], check=True)
    install = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "install", "--quiet"]
    limits = ["--only-binary", ":all:", "--no-binary", "nkeys", "--constraint", ROOT / "constraints.txt"]
    subprocess.run([*install, *limits, f"{wheel}[{extra}]"], check=True)
    return environment


class Container:
    """An entry point as the image runs it, in `directory`."""

    def __init__(
        self, environment: Path, script: str, directory: Path, variables: Mapping[str, str], *arguments: str
    ) -> None:
        self.command = [environment / "bin" / script, *arguments]
        self.directory = directory
        directory.mkdir()
        directory.chmod(0o555)
        self.variables = {"PATH": f"{environment}/bin:/usr/bin:/bin", **ENVIRONMENT, **variables}
        self.log = directory.with_suffix(".log")
        as_root = os.geteuid() == 0 and _reachable(Path(_interpreter()).resolve()) and _reachable(directory)
        self.user = {"user": USER, "group": USER, "extra_groups": []} if as_root else {}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # type: ignore[call-overload]
            [*self.command, *arguments],
            env=self.variables,
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            **self.user,
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                self.command, env=self.variables, cwd=self.directory, stdout=log, stderr=log, **self.user
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    async def answers(self, process: subprocess.Popen[bytes], url: str) -> Answer:
        """What a probe says, once it says anything."""
        async with asyncio.timeout(30):
            while True:
                assert process.poll() is None, self.log.read_text()
                with contextlib.suppress(OSError):
                    return await ask("GET", url)
                await asyncio.sleep(0.05)

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, self.log.read_text()
        assert "Traceback" not in self.log.read_text(), self.log.read_text()


def test_the_wheel_holds_the_packages_the_examples_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    packages = {f"sagamesh{part}" for part in ("", "_jetstream", "_sidecar", "_operator", "_cli")}
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == packages
    assert not [name for name in names if name.endswith(("dashboard.py", "reference_page.py"))]
    assert "sagamesh_cli/checks.md" in names


def who(container: Container, report: list[str]) -> None:
    if not container.user:
        report.append("images: not as uid 65532, for that takes root and a Python outside of its home")


def size(directory: Path) -> float:
    return sum(path.lstat().st_size for path in directory.rglob("*")) / 2**20


def test_each_environment_holds_what_its_image_needs(environments: dict[str, Path], report: list[str]) -> None:
    for extra, environment in environments.items():
        [packages] = environment.glob("lib/python3*/site-packages")
        there = {path.name.partition("-")[0].lower() for path in packages.iterdir()}
        assert not there.intersection(BUILDERS)
        scripts = {path.name for path in (environment / "bin").iterdir()}
        assert not any(name.startswith(("pip", "easy_install")) for name in scripts)
        largest = sorted(((size(path), path.name) for path in packages.iterdir() if path.is_dir()), reverse=True)[:4]
        told = ", ".join(f"{name} {megabytes:.0f}" for megabytes, name in largest)
        report.append(f"images: the environment of [{extra}] has {size(environment):.0f} MiB (MiB each: {told})")


def test_the_sidecar_starts_drains_and_stops(environments: dict[str, Path], place: Path, report: list[str]) -> None:
    async def scenario() -> None:
        with container.running() as process:
            health = f"http://127.0.0.1:{ports[1]}"
            assert (await container.answers(process, f"{health}/startupz")).status == 200
            assert (await container.answers(process, f"{health}/readyz")).text == "NATS does not answer\n"
            drained = container.run("drain")
            assert (drained.returncode, drained.stdout) == (0, "drained\n"), drained.stderr
            assert (await ask("GET", f"{health}/readyz")).text.startswith("drained")
            container.stop(process)

    ports = free_ports(2)
    state = place / "state"
    state.mkdir()
    variables = {
        "SAGAMESH_NAMESPACE": "shop",
        "SAGAMESH_PARTICIPANT": "orders",
        "SAGAMESH_POD": "orders-1",
        "SAGAMESH_NATS": "nats://127.0.0.1:9",
        "SAGAMESH_APP": "http://127.0.0.1:9",
        "SAGAMESH_API_PORT": str(ports[0]),
        "SAGAMESH_HEALTH_PORT": str(ports[1]),
        "SAGAMESH_STATE_DIR": str(state),
    }
    container = Container(environments["sidecar"], "sagamesh-sidecar", place / "sidecar-cwd", variables)
    if container.user:
        os.chown(state, USER, USER)
    who(container, report)
    run(scenario())


def test_the_operator_starts_and_stops(environments: dict[str, Path], place: Path, report: list[str]) -> None:
    """Neither the cluster nor NATS is there: it says so, and goes on trying."""

    async def scenario() -> None:
        with container.running() as process:
            assert (await container.answers(process, f"http://127.0.0.1:{port}/livez")).status == 200
            unready = await ask("GET", f"http://127.0.0.1:{port}/readyz")
            assert (unready.status, unready.text) == (503, "the Sagas were not listed yet\n")
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, container.log.read_text()

    [port] = free_ports(1)
    config = place / "kubeconfig"
    config.write_text(KUBECONFIG)
    variables = {
        "SAGAMESH_NATS": "nats://127.0.0.1:9",
        "SAGAMESH_INSTALLATION": "here",
        "SAGAMESH_HTTP_PORT": str(port),
        "KUBECONFIG": str(config),
    }
    container = Container(environments["operator"], "sagamesh-operator", place / "operator-cwd", variables)
    who(container, report)
    run(scenario())


def test_a_service_of_the_examples_starts_and_stops(environments: dict[str, Path], place: Path) -> None:
    """As its Deployment runs it; but for the database, whose volume is somewhere else here."""

    async def scenario() -> None:
        with container.running() as process:
            state = await container.answers(process, f"http://127.0.0.1:{port}/")
            assert set(state.body) == {"orders"}
            container.stop(process)

    assert 'COPY examples /examples\nWORKDIR /examples\nENTRYPOINT ["python"]\n' in DOCKERFILE
    [deployment, *_] = deployments()
    [_, participant, *_] = arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    [port] = free_ports(1)
    data = place / "data"
    data.mkdir()
    changed = {"9000": str(port), f"/data/{participant}.db": str(data / "orders.db")}
    shutil.copytree(ROOT / "examples", place / "examples")
    script, *options = (changed.get(each, each) for each in arguments)
    program = str(place / "examples" / script)
    container = Container(environments["sidecar"], "python", place / "examples-cwd", {}, program, *options)
    if container.user:
        os.chown(data, USER, USER)
    run(scenario())


def deployments() -> list[dict[str, Any]]:
    text = (ROOT / "manifests" / "examples" / "02-create-order.yaml").read_text()
    return [each for each in yaml.safe_load_all(text) if each["kind"] == "Deployment"]


@pytest.mark.parametrize("image", EXTRAS)
def test_every_entry_point_is_installed_and_says_what_it_lacks(
    image: str, environments: dict[str, Path], place: Path
) -> None:
    script = f"sagamesh-{image}"
    assert f'ENTRYPOINT ["{script}"]' in DOCKERFILE
    if script not in SCRIPTS:
        pytest.skip(f"there is no {script} yet")
    ended = Container(environments[EXTRAS[image]], script, place / f"{image}-bare", {}).run()
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith(f"{script}: SAGAMESH_")
    assert ended.stderr.count("\n") == 1


def test_the_command_line_alone_runs_sagas_and_says_what_a_cluster_takes(command_line: Path, place: Path) -> None:
    def sagamesh(*arguments: str) -> subprocess.CompletedProcess[str]:
        folder = place / f"{arguments[0]}-{len(arguments)}-cwd"
        return Container(command_line, "sagamesh", folder, {}).run(*arguments)

    [packages] = command_line.glob("lib/python3*/site-packages")
    for library in ("kopf", "kubernetes", "aiohttp", "cryptography", "sagamesh_tools", "sagamesh_bench"):
        assert not (packages / library).exists()
    checked = sagamesh("check", str(packages / "sagamesh_cli" / "examples" / "02-create-order" / "saga.yaml"))
    assert (checked.returncode, checked.stdout) == (0, "1 saga: no findings\n"), checked.stderr
    told = sagamesh("check", "--explain", "SM004")
    assert (told.returncode, told.stdout.count("```yaml")) == (0, 2), told.stdout + told.stderr
    played = sagamesh("demo", "--orders", "7")
    assert "7 of 7 orders finished" in played.stdout, played.stdout + played.stderr
    assert played.returncode == 0
    asked = sagamesh("get")
    sentence = "the client of Kubernetes is not installed here; install it with `pip install 'sagamesh[cluster]'`"
    assert (asked.returncode, asked.stdout, asked.stderr) == (3, "", f"sagamesh: {sentence}\n")


def test_the_dockerfile_copies_all_that_the_wheel_is_made_of() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    rooms = {package.partition("/")[0] for package in packages["packages"]} | set(packages["force-include"])
    ignored = (ROOT / ".dockerignore").read_text().split()
    for room in rooms:
        assert f"COPY {room} {room}\n" in DOCKERFILE
        assert f"!{room}" in ignored
