"""The control plane that the other tests stand on: that it is real, and may be killed."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from support.servers import programs
from support.servers.control_plane import USERS, Cluster, ControlPlane, until


def test_it_is_ready(cluster: Cluster) -> None:
    assert cluster.kubectl("get", "--raw", "/readyz").stdout == "ok"


def test_its_version_is_that_of_the_module(ours: ControlPlane) -> None:
    if not ours.source.built:
        pytest.skip("another control plane was asked for")
    assert ours.version == programs.kubernetes_version()


def test_an_object_is_read_back(cluster: Cluster, namespace: str) -> None:
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"key": "value"}}
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(settings))
    read = json.loads(cluster.kubectl("get", "configmap", "a", "-n", namespace, "-o", "json").stdout)
    assert read["data"] == {"key": "value"}


def test_what_it_refuses_has_a_reason(cluster: Cluster, namespace: str) -> None:
    refused = cluster.kubectl("create", "namespace", namespace, check=False)
    assert refused.returncode == 1
    assert "AlreadyExists" in refused.stderr
    with pytest.raises(AssertionError, match="AlreadyExists"):
        cluster.kubectl("create", "namespace", namespace)


@pytest.mark.parametrize("user", USERS)
def test_a_user_is_who_he_says(cluster: Cluster, user: str) -> None:
    who = json.loads(cluster.kubectl("auth", "whoami", "-o", "json", user=user).stdout)["status"]["userInfo"]
    assert who["username"] == USERS[user].name or user == "admin"
    assert {*USERS[user].groups} <= {*who["groups"]} or user == "admin"


@pytest.mark.parametrize("user", ["operator", "tenant"])
def test_only_the_administrator_has_rights_from_the_start(cluster: Cluster, user: str) -> None:
    cluster.kubectl("get", "namespaces")
    refused = cluster.kubectl("get", "namespaces", user=user, check=False)
    assert "Forbidden" in refused.stderr
    assert f'"{USERS[user].name}" cannot list' in refused.stderr


def test_a_role_gives_a_right(cluster: Cluster, namespace: str) -> None:
    here = ("-n", namespace)
    assert cluster.kubectl("get", "pods", *here, user="tenant", check=False).returncode == 1
    cluster.kubectl("create", "role", "reader", "--verb=list", "--resource=pods", *here)
    cluster.kubectl("create", "rolebinding", "reader", "--role=reader", "--user=tenant", *here)
    until(lambda: cluster.kubectl("get", "pods", *here, user="tenant", check=False).returncode == 0)


def test_calls_are_audited(cluster: Cluster, namespace: str) -> None:
    before = datetime.now(UTC)
    assert cluster.audit("tenant", before) == []
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    cluster.kubectl("get", "--raw", path, user="tenant", check=False)  # by its path: no call to discover what there is
    until(lambda: cluster.audit("tenant", before))
    [event] = cluster.audit("tenant", before)
    assert event["verb"] == "list"
    assert event["objectRef"] == {"resource": "configmaps", "namespace": namespace, "apiVersion": "v1"}
    assert event["responseStatus"]["code"] == 403
    assert event in cluster.audit("tenant")
    assert event not in cluster.audit("tenant", datetime.now(UTC))


def test_what_was_stored_outlives_a_killed_server(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "configmap", "kept", "-n", namespace)
    url = cluster.url
    cluster.kill_api_server()
    try:
        refused = cluster.kubectl("get", "namespaces", check=False)
    finally:
        cluster.start_api_server()
    assert "refused" in refused.stderr
    assert cluster.url == url
    cluster.kubectl("get", "configmap", "kept", "-n", namespace)
