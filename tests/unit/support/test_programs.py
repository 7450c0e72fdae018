"""Which control plane is taken where: no Go, no cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.servers.programs import (
    MODULE,
    NEEDED,
    Given,
    Programs,
    WrongSource,
    cache,
    fingerprint,
    kubernetes_version,
    named,
    required,
    stamps,
    suffices,
)


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    path = tmp_path / "kubeconfig"
    path.touch()
    return str(path)


@pytest.fixture
def assets(tmp_path: Path) -> str:
    folder = tmp_path / "assets"
    folder.mkdir()
    for name in NEEDED:
        (folder / name).touch(mode=0o755)
    return str(folder)


def copied(to: Path) -> Path:
    """The module, where it can be changed."""
    to.mkdir()
    for name in ("go.mod", "go.sum", "main.go"):
        (to / name).write_bytes((MODULE / name).read_bytes())
    return to


def test_an_empty_environment_asks_for_nothing() -> None:
    assert named({}) is None
    assert named({"TEST_KUBECONFIG": "", "KUBEBUILDER_ASSETS": ""}) is None


def test_a_given_cluster_comes_first(kubeconfig: str, assets: str) -> None:
    given = {"TEST_KUBECONFIG": kubeconfig, "TEST_KUBECONFIG_ALLOW": "1", "KUBEBUILDER_ASSETS": assets}
    assert named(given) == Given(Path(kubeconfig))


@pytest.mark.parametrize("allowed", [{}, {"TEST_KUBECONFIG_ALLOW": ""}, {"TEST_KUBECONFIG_ALLOW": "0"}])
def test_a_given_cluster_is_not_touched_without_leave(kubeconfig: str, assets: str, allowed: dict[str, str]) -> None:
    with pytest.raises(WrongSource, match="TEST_KUBECONFIG_ALLOW=1"):
        named({"TEST_KUBECONFIG": kubeconfig, "KUBEBUILDER_ASSETS": assets} | allowed)


def test_a_kubeconfig_that_is_not_there_is_no_reason_to_take_another_cluster(tmp_path: Path) -> None:
    with pytest.raises(WrongSource, match="is not a file"):
        named({"TEST_KUBECONFIG": str(tmp_path / "none"), "TEST_KUBECONFIG_ALLOW": "1"})


def test_a_folder_of_programs(assets: str) -> None:
    assert named({"KUBEBUILDER_ASSETS": assets}) == Programs(Path(assets), built=False)


@pytest.mark.parametrize("name", NEEDED)
def test_a_folder_without_one_of_them(assets: str, name: str) -> None:
    (Path(assets) / name).unlink()
    with pytest.raises(WrongSource, match=f"lacks {name}$"):
        named({"KUBEBUILDER_ASSETS": assets})


def test_builds_are_in_the_users_cache() -> None:
    assert cache({"XDG_CACHE_HOME": "/cache", "HOME": "/home/me"}) == Path("/cache/sagamesh")
    assert cache({"HOME": "/home/me"}) == Path("/home/me/.cache/sagamesh")


def test_a_build_is_of_its_sources_and_its_compiler(tmp_path: Path) -> None:
    module = copied(tmp_path / "module")
    first = fingerprint(module, "go version go1.26.0 linux/amd64")
    assert fingerprint(module, "go version go1.26.0 linux/amd64") == first
    seen = {first, fingerprint(module, "go version go1.26.1 linux/amd64")}
    for name in ("go.mod", "go.sum", "main.go"):
        (module / name).write_text((module / name).read_text() + "\n")
        seen.add(fingerprint(module, "go version go1.26.0 linux/amd64"))
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("compiler", "good"),
    [
        ("go version go1.26.0 linux/amd64", True),
        ("go version go1.27rc1 linux/amd64", True),
        ("go version go2.0 linux/amd64", True),
        ("go version go1.25.9 linux/amd64", False),
        ("go version go1.3 linux/amd64", False),
        ("gccgo (Debian 12.2.0) 12.2.0", False),
        ("", False),
    ],
)
def test_the_compiler_is_as_new_as_the_module_wants(tmp_path: Path, compiler: str, good: bool) -> None:
    (tmp_path / "go.mod").write_text("module test\n\ngo 1.26.0\n")
    assert suffices(tmp_path, compiler) is good


def test_the_version_is_that_of_the_module(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("require (\n\tk8s.io/component-base v0.37.1\n\tk8s.io/kubernetes v1.37.1\n)\n")
    assert kubernetes_version(tmp_path) == "v1.37.1"
    at = "-X k8s.io/component-base/version"
    assert stamps("v1.37.1") == f"-s -w {at}.gitVersion=v1.37.1 {at}.gitMajor=1 {at}.gitMinor=37"
    assert kubernetes_version().startswith("v1.")


@pytest.mark.parametrize(("value", "must"), [(None, False), ("", False), ("0", False), ("1", True)])
def test_who_wants_a_control_plane_says_so(value: str | None, must: bool) -> None:
    assert required({} if value is None else {"REQUIRE_CLUSTER": value}) is must
