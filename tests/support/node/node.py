"""One node with its control plane: real pods in containers, real Services, real names, and no registry.

All of it runs in namespaces of its own (`machine.ALONE`). NetworkPolicies are the one thing that nobody carries out:
the plugins of Debian do not know them.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Self

import yaml

from support.node import images, machine
from support.node.parts import Parts
from support.servers.control_plane import ControlPlane, until
from support.servers.programs import Programs

NAME = "node"
PODS = "10.88.0.0/24"
NETWORK = {
    "cniVersion": "1.0.0",
    "name": "pods",
    "plugins": [  # ptp, not bridge: a pod's answer to another pod passes the rules that changed the Service's address
        {
            "type": "ptp",
            "ipam": {"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}
CONTAINERD = """
version = 2
root = "{scratch}/containerd"
state = "/run/containerd"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/cni"
"""
SOCKET = "/run/containerd/containerd.sock"
COREDNS = """
cluster.local in-addr.arpa {{
    bind {address}
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
    }}
    errors
}}
"""
VOLUMES = 8
START_TIMEOUT = 120.0


class Node(ControlPlane):
    """`images` is a folder of tars, beside which containers are unpacked.

    Everything listens in this network namespace, and everybody is an administrator.
    """

    host = machine.ADDRESS

    def __init__(self, directory: Path, found: Parts, images: Path, cgroup: str) -> None:
        super().__init__(directory, Programs(found.kubernetes, built=True))
        self.parts, self.images, self.cgroup = found, images, cgroup

    def __enter__(self) -> Self:
        machine.furnish(self.parts.debian)
        super().__enter__()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        admin = self.kubeconfig("admin")
        leader = {"kubeconfig": admin, "leader_elect": "false"}
        self._spawn("containerd", config=self._file("containerd.toml", self._containerd()))
        self._spawn("kube-scheduler", **leader)
        self._spawn("kube-controller-manager", **leader, **self._controllers())
        self._spawn("kube-proxy", **self._proxy())
        self._spawn("coredns", conf=self._file("Corefile", COREDNS.format(address=machine.ADDRESS, kubeconfig=admin)))
        until(lambda: subprocess.run(["ctr", "version"], check=False, capture_output=True).returncode == 0)
        for image in sorted(self.images.glob("*.tar")):
            machine.run("ctr", "--namespace=k8s.io", "images", "import", "--no-unpack", image)
        self._spawn("kubelet", **self._kubelet())
        self._make_volumes()
        self._wait("ready", lambda: "True" in self._of_node("{.status.conditions[?(@.type=='Ready')].status}"))
        self._wait("free", lambda: "NoSchedule" not in self._of_node("{.spec.taints}"))

    def _wait(self, what: str, condition: Any) -> None:
        try:
            until(condition, START_TIMEOUT)
        except AssertionError:
            raise AssertionError(f"the node is not {what}: {self._last_words('kubelet')}") from None

    def _of_node(self, path: str) -> str:
        return self.kubectl("get", "node", NAME, f"--output=jsonpath={path}", check=False).stdout

    def _program(self, name: str) -> Path:
        places = {"containerd": Path("/usr/bin"), "coredns": self.parts.tools}
        return places.get(name, self.source.folder) / name

    def _file(self, name: str, content: str) -> Path:
        path = self.directory / name
        path.write_text(content)
        return path

    def _api_options(self) -> dict[str, object]:
        options = super()._api_options()
        del options["disable_admission_plugins"], options["enable_aggregator_routing"]
        return options | {
            "endpoint_reconciler_type": "lease",  # pods find it by its Service
            "kubelet_preferred_address_types": "InternalIP",
        }

    def _controllers(self) -> dict[str, object]:
        return {"service_account_private_key_file": self.ca.with_suffix(".key"), "root_ca_file": self.ca}

    def _proxy(self) -> dict[str, object]:
        return {
            "kubeconfig": self.kubeconfig("admin"),
            "hostname_override": NAME,
            "proxy_mode": "iptables",
            "cluster_cidr": PODS,
            "conntrack_max_per_core": 0,  # the machine's own stays
        }

    def _containerd(self) -> str:
        (self.directory / "cni").mkdir()
        self._file("cni/pods.conflist", json.dumps(NETWORK))
        return CONTAINERD.format(folder=self.directory, scratch=self.images, pause=images.PAUSE)

    def _kubelet(self) -> dict[str, object]:
        config = {
            "kind": "KubeletConfiguration",
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "containerRuntimeEndpoint": f"unix://{SOCKET}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.cgroup}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": [],
            "evictionHard": {"memory.available": "1Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "clusterDNS": [machine.ADDRESS],
            "clusterDomain": "cluster.local",
            "resolvConf": "",
            "syncFrequency": "10s",
        }
        return {
            "config": self._file("kubelet.yaml", yaml.safe_dump(config)),
            "kubeconfig": self.kubeconfig("admin"),
            "hostname_override": NAME,
            "node_ip": machine.ADDRESS,
            "root_dir": self.images / "kubelet",
            "cert_dir": self.directory / "kubelet-certificates",
        }

    def _make_volumes(self) -> None:
        """A class that is the default, as every cluster has one, with a few directories of this machine behind it."""
        documents: list[dict[str, Any]] = [
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {
                    "name": "directories",
                    "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
                },
                "provisioner": "kubernetes.io/no-provisioner",
            }
        ]
        for number in range(VOLUMES):
            path = self.directory / "volumes" / str(number)
            path.mkdir(parents=True)
            path.chmod(0o777)  # a hostPath is nobody's: no fsGroup changes it
            spec = {
                "storageClassName": "directories",
                "capacity": {"storage": "10Gi"},
                "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": str(path)},
            }
            volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"directory-{number}"}}
            documents.append(volume | {"spec": spec})
        self.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(documents))

    def environment(self) -> dict[str, str]:
        """For commands of a user: kubectl and helm are his, and they know the cluster."""
        path = os.pathsep.join([str(self.parts.tools), os.environ["PATH"]])
        home = self.directory / "home" / "user"
        home.mkdir(parents=True, exist_ok=True)
        return {**os.environ, "PATH": path, "HOME": str(home), "KUBECONFIG": str(self.kubeconfig("admin"))}
