"""A base image for the tests, made from a Debian mirror and this machine's package index: no registry is needed."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import docker

ROOT = Path(__file__).parents[2]

_SUITE = "bookworm"
_PYTHON = "3.11"
_NEWEST_GLIBC = 36
_INCLUDED = "ca-certificates,libstdc++6,passwd,python3,python3-venv"

_INSTALLED = (
    "av",
    "matplotlib",
    "numpy",
    "onnx",
    "onnxruntime",
    "opencv-python-headless",
    "pillow",
    "pydantic",
    "safetensors",
    "scipy",
    "torch",
)
"""Large packages are in the base, as torch is in the images of its makers: a build must then not fetch them again."""

_WHEELS = (
    "editables",
    "filelock",
    "hatchling",
    "jinja2",
    "platformdirs",
    "pooch",
    "pytest",
    "pytest-benchmark",
    "requests",
    "rich",
    "setuptools",
    "tabulate",
)
"""Small packages lie in the base as wheels, where its pip looks: a build needs no network."""

_PIP_CONFIGURATION = "[global]\nno-index = true\nfind-links = /opt/wheels\n"


def lacking() -> str | None:
    """Why no base image can be made here; None where it can."""
    if sys.platform != "linux":
        return "a base image is made with mmdebstrap, on Linux"
    if shutil.which("mmdebstrap") is None:
        return "mmdebstrap is not installed"
    if os.geteuid() != 0:
        return "mmdebstrap needs root"
    return None


def base_image(client: docker.DockerClient) -> str:
    """The name of a base image in the engine, made there once for one state of this file and constraints.txt."""
    recipe = Path(__file__).read_bytes() + (ROOT / "constraints.txt").read_bytes()
    name = f"sdbench-test-base:{hashlib.sha256(recipe).hexdigest()[:16]}"
    try:
        client.images.get(name)
    except docker.errors.ImageNotFound:
        make(client, name)
    return name


def make(client: docker.DockerClient, name: str) -> None:
    """Make the base image under this name."""
    with tempfile.TemporaryDirectory(prefix="sdbench-base-") as folder:
        root, site, wheels = (Path(folder) / part for part in ("root", "site", "wheels"))
        with ThreadPoolExecutor() as pool:  # both wait for the network now and then
            jobs = [pool.submit(_debian, root), pool.submit(_python_packages, site, wheels)]
            for job in jobs:
                job.result()
        place = root / f"usr/local/lib/python{_PYTHON}/dist-packages"
        place.rmdir()
        site.rename(place)
        wheels.rename(root / "opt" / "wheels")
        (root / "etc" / "pip.conf").write_text(_PIP_CONFIGURATION)
        _import(client, root, name)


def _debian(root: Path) -> None:
    left_out = ("doc", "locale", "man")
    options = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in left_out]
    options += ["--dpkgopt=force-unsafe-io", "--variant=essential", f"--include={_INCLUDED}"]
    _run(["mmdebstrap", "--quiet", *options, _SUITE, str(root)])


def _python_packages(site: Path, wheels: Path) -> None:
    """The packages that will lie in the image, chosen by this machine's pip for the image's Python."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wanted = ["--only-binary=:all:", "--implementation=cp", f"--python-version={_PYTHON}"]
    wanted += [f"--platform=manylinux_2_{minor}_{platform.machine()}" for minor in range(17, _NEWEST_GLIBC + 1)]
    wanted += [f"--platform=manylinux2014_{platform.machine()}", "--constraint", str(ROOT / "constraints.txt")]
    _run([*pip, "install", "--no-compile", *wanted, "--target", str(site), *_INSTALLED])
    _run([*pip, "download", *wanted, "--dest", str(wheels), *_WHEELS])


def _import(client: docker.DockerClient, root: Path, name: str) -> None:
    repository, tag = name.split(":")
    with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
        assert tar.stdout is not None
        stream: IO[bytes] = tar.stdout
        client.api.import_image_from_data(iter(lambda: stream.read(1 << 20), b""), repository=repository, tag=tag)
    assert tar.returncode == 0
    client.images.get(name)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command[:4])} ...: {done.stdout[-2000:]}{done.stderr[-2000:]}"


if __name__ == "__main__":
    print(base_image(docker.from_env(timeout=600)))
