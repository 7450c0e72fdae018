"""Which builder makes the images, and how it is asked; stand-ins say what they were told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "images" / "build.sh"
LAYERS = {"docker": "", "buildah": " --layers"}


@pytest.mark.parametrize(
    ("there", "asked", "chosen"),
    [
        (["docker", "buildah"], "", "docker"),
        (["buildah"], "", "buildah"),
        (["docker", "buildah"], "buildah", "buildah"),
        (["docker", "buildah"], "docker", "docker"),
    ],
)
def test_the_builder_that_is_asked_for_makes_every_image(
    tmp_path: Path, there: list[str], asked: str, chosen: str
) -> None:
    log = tmp_path / "log"
    for name in there:
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\n[ "$1" = build ] && echo "{name} $*" >> {log}\necho 60 MB\n')
        program.chmod(0o755)
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    ended = build(tmp_path, asked)
    images = [f"here/sagamesh-{target}:1" for target in ("operator", "injector", "sidecar", "examples")]
    assert ended.stdout.splitlines() == [f"{image}: 60 MB" for image in images]
    assert log.read_text().splitlines() == [
        f"{chosen} build{LAYERS[chosen]} --quiet --target {image[14:-2]} --tag {image} --file images/Dockerfile ."
        for image in images
    ]


def test_it_says_why_nothing_is_built(tmp_path: Path) -> None:
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    none, wrong = build(tmp_path, ""), build(tmp_path, "podman")
    assert (none.returncode, wrong.returncode) == (1, 2)
    assert none.stderr == "no images are built: neither a docker daemon answers nor is buildah installed\n"
    assert wrong.stderr == "BUILDER is docker or buildah, not podman\n"


def build(programs: Path, builder: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(programs), "BUILDER": builder}
    command = ["/bin/sh", BUILD, "here", "1"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
