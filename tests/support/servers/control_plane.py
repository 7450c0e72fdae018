"""A Kubernetes API server with its etcd: real admission, real rights, no node and no controllers.

So nothing runs a Pod, and a namespace that is deleted stays `Terminating`: tests take a fresh one, and forget it.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import pytest
import yaml

from sagamesh_cli.local.nats_server import die_with
from support.servers.ports import reserve
from support.servers.programs import Given, Programs, Source

START_TIMEOUT = 60.0  # 4 s on two idle cores
KUBECTL = Path(sysconfig.get_path("scripts")) / "kubectl"
KUBECTL_TIMEOUT = 60.0


@dataclass(frozen=True)
class User:
    name: str
    groups: tuple[str, ...]


SYSTEM = "system:serviceaccounts"
USERS = {
    "admin": User("admin", ("system:masters",)),
    "operator": User(
        "system:serviceaccount:sagamesh-system:sagamesh-operator",
        (SYSTEM, f"{SYSTEM}:sagamesh-system", "system:authenticated"),
    ),
    "injector": User(
        "system:serviceaccount:sagamesh-system:sagamesh-injector",
        (SYSTEM, f"{SYSTEM}:sagamesh-system", "system:authenticated"),
    ),
    "tenant": User("tenant", ("system:authenticated",)),
}
"""Who may come in. Only the administrator has rights from the start: the others have what a test binds to them."""

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "None", "users": ["system:apiserver"]}, {"level": "Metadata"}],
}


class Cluster:
    """What tests ask of a cluster, be it ours or a given one. `url`, `version` are the API server's."""

    url: str
    version: str

    def __init__(self, directory: Path, source: Source) -> None:
        self.directory = directory
        self.source = source

    def kubeconfig(self, user: str) -> Path:
        """A file that lets a client be one of USERS."""
        path = self.directory / f"{user}.kubeconfig"
        if not path.exists():
            path.write_text(yaml.safe_dump(self._config(user)))
            path.chmod(0o600)
        return path

    def kubectl(
        self, *arguments: object, user: str = "admin", stdin: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """`kubectl ...` as that user, who has a home of his own: no settings, and nobody else's discovery cache."""
        home = self.directory / "home" / user
        home.mkdir(parents=True, exist_ok=True)
        ended = subprocess.run(
            [KUBECTL, *map(str, arguments)],
            check=False,
            input=stdin,
            env={"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(self.kubeconfig(user))},
            capture_output=True,
            text=True,
            timeout=KUBECTL_TIMEOUT,
        )
        assert not check or ended.returncode == 0, f"kubectl {' '.join(map(str, arguments))}: {ended.stderr}"
        return ended

    def namespace(self) -> str:
        """A new one, for one test."""
        name = f"test-{secrets.token_hex(4)}"
        self.kubectl("create", "namespace", name)
        return name

    def audit(self, user: str, since: datetime | None = None) -> list[dict[str, Any]]:
        """What that user asked, in order, if he asked it after `since`: events of audit.k8s.io/v1.

        The server writes an event when it has answered, which may be after the client has read the answer. A watch has
        two: as it starts (`stage: ResponseStarted`), and when it ends.
        """
        raise NotImplementedError

    def kill_api_server(self) -> None:
        """SIGKILL, and nothing else: a server that had died before is a failure."""
        raise NotImplementedError

    def start_api_server(self) -> None:
        """Start it, on the same port and data as before, and wait until it is ready."""
        raise NotImplementedError

    def _config(self, user: str) -> dict[str, Any]:
        raise NotImplementedError


class ControlPlane(Cluster):
    """etcd and kube-apiserver in `directory`, which keeps their logs: processes of our own, to kill and start again."""

    source: Programs
    host = "127.0.0.1"
    """Where the API server is served."""

    def __init__(self, directory: Path, source: Programs) -> None:
        super().__init__(directory, source)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._tokens = {user: secrets.token_hex(16) for user in USERS}

    def __enter__(self) -> Self:
        # Linux ends a child with the thread that started it, which may be a test's own: so a thread of ours starts all.
        self._starter = ThreadPoolExecutor(1)
        self._ports = [reserve(), reserve()]
        self._etcd = f"http://127.0.0.1:{_number(self._ports[0])}"
        self.url = f"https://{self.host}:{_number(self._ports[1])}"
        try:
            self._prepare()
            self._spawn("etcd", **self._etcd_options())
            self.start_api_server()
            self.version = json.loads(self._get("/version"))["gitVersion"]
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End both at once, and forget what they stored. The logs stay."""
        for process in self._processes.values():
            process.kill()
            process.wait()
        for port in self._ports:
            port.close()
        self._starter.shutdown()
        shutil.rmtree(self.directory / "etcd", ignore_errors=True)

    @property
    def ca(self) -> Path:
        """Certificates that a client of `url` trusts."""
        return self.directory / "certificates" / "apiserver.crt"

    def token(self, user: str) -> str:
        """What one of USERS sends as `Authorization: Bearer`."""
        return self._tokens[user]

    def kill_api_server(self) -> None:
        process = self._processes["kube-apiserver"]
        process.kill()
        assert process.wait() == -signal.SIGKILL

    def start_api_server(self) -> None:
        self._spawn("kube-apiserver", **self._api_options())
        deadline = time.monotonic() + START_TIMEOUT
        while not self._ready():
            dead = [name for name, process in self._processes.items() if process.poll() is not None]
            if dead or time.monotonic() > deadline:
                name = dead[0] if dead else "kube-apiserver"
                raise AssertionError(f"{name} {'ended' if dead else 'is not ready'}: {self._last_words(name)}")
            time.sleep(0.02)

    def audit(self, user: str, since: datetime | None = None) -> list[dict[str, Any]]:
        whole, _, _ = (self.directory / "audit.log").read_text().rpartition("\n")
        events = [json.loads(line) for line in whole.splitlines() if USERS[user].name in line]
        return [
            event
            for event in events
            if event["user"]["username"] == USERS[user].name
            and (since is None or datetime.fromisoformat(event["requestReceivedTimestamp"]) >= since)
        ]

    def _config(self, user: str) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.ca)}}],
            "users": [{"name": user, "user": {"token": self.token(user)}}],
            "contexts": [{"name": user, "context": {"cluster": "test", "user": user}}],
            "current-context": user,
        }

    def _prepare(self) -> None:
        (self.directory / "audit.json").write_text(json.dumps(AUDIT_POLICY))
        rows = [f'{self.token(key)},{user.name},{key},"{",".join(user.groups)}"\n' for key, user in USERS.items()]
        (self.directory / "tokens.csv").write_text("".join(rows))

    def _etcd_options(self) -> dict[str, object]:
        return {
            "data_dir": self.directory / "etcd",
            "listen_client_urls": self._etcd,
            "advertise_client_urls": self._etcd,
            "listen_peer_urls": "http://127.0.0.1:0",
            "socket_reuse_port": "true",
            "unsafe_no_fsync": "true",  # only the machine's crash would lose something
        }

    def _api_options(self) -> dict[str, object]:
        key = self.ca.with_suffix(".key")  # which it makes for itself: one key less
        return {
            "etcd_servers": self._etcd,
            "bind_address": self.host,
            "secure_port": _number(self._ports[1]),
            "permit_port_sharing": "true",
            "cert_dir": self.ca.parent,
            "service_cluster_ip_range": "10.0.0.0/24",
            "endpoint_reconciler_type": "none",
            "authorization_mode": "RBAC",
            "token_auth_file": self.directory / "tokens.csv",
            "disable_admission_plugins": "ServiceAccount",  # no controller makes the account of a namespace
            "allow_privileged": "true",
            "service_account_issuer": f"{self.url}/",
            "service_account_key_file": key,
            "service_account_signing_key_file": key,
            "enable_aggregator_routing": "true",  # calls a webhook at its endpoints: there is no kube-proxy
            "audit_policy_file": self.directory / "audit.json",
            "audit_log_path": self.directory / "audit.log",
            "audit_log_mode": "blocking",
        }

    def _spawn(self, name: str, **options: object) -> None:
        command = [self._program(name), *(f"--{key.replace('_', '-')}={value}" for key, value in options.items())]
        with self._log(name).open("ab") as log:
            self._processes[name] = self._starter.submit(
                subprocess.Popen,
                command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with(os.getpid(), signal.SIGKILL),  # in order, each waits long for the other
            ).result()

    def _program(self, name: str) -> Path:
        return self.source.folder / name

    def _ready(self) -> bool:
        try:
            return self._get("/readyz") == b"ok"
        except OSError:  # no certificates, no answer, or not yet this one
            return False

    def _get(self, path: str) -> bytes:
        headers = {"Authorization": f"Bearer {self.token('admin')}"}
        request = urllib.request.Request(self.url + path, headers=headers)
        trust = ssl.create_default_context(cafile=str(self.ca))
        with urllib.request.urlopen(request, context=trust, timeout=10) as answer:
            return bytes(answer.read())

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def _last_words(self, name: str) -> str:
        lines = self._log(name).read_text(errors="replace").splitlines()[-20:]
        return "\n  ".join([f"its log, {self._log(name)}, ends with:", *lines])


def _number(port: socket.socket) -> int:
    return int(port.getsockname()[1])


class GivenCluster(Cluster):
    """A cluster of somebody else, entered by his kubeconfig; the other users are impersonated."""

    source: Given

    def __enter__(self) -> Self:
        answer = json.loads(self.kubectl("version", "--output=json").stdout)
        self.version = answer["serverVersion"]["gitVersion"]
        self.url = self.kubectl("config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}").stdout
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.directory)  # it holds somebody's keys

    def audit(self, user: str, since: datetime | None = None) -> list[dict[str, Any]]:
        pytest.skip("the audit log of a given cluster cannot be read")

    def kill_api_server(self) -> None:
        pytest.skip("the API server of a given cluster is not killed")

    def _config(self, user: str) -> dict[str, Any]:
        config: dict[str, Any] = yaml.safe_load(self.source.kubeconfig.read_text())
        if user != "admin":
            for entry in config["users"]:
                entry["user"] |= {"as": USERS[user].name, "as-groups": list(USERS[user].groups)}
        return config


def cluster(directory: Path, source: Source) -> ControlPlane | GivenCluster:
    """A context manager for what was found."""
    return GivenCluster(directory, source) if isinstance(source, Given) else ControlPlane(directory, source)


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Waits for what a server learns by itself, such as a right that was just given."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.02)
