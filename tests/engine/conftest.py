"""What tests of compiling and running share: a cache folder of a test's own, and programs in other processes."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from fbnet.engine import share


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder for this test alone."""
    folder = tmp_path / "empty-cache"
    monkeypatch.setenv("FBNET_CACHE", str(folder))
    return folder


@pytest.fixture
def generous(monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> None:
    """Every layer gets all the threads of its plan, however small it is."""
    monkeypatch.setattr(share, "WAKE", -1.0)
    monkeypatch.setattr(share, "GRAIN", 1e-15)


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen]:
    """A function (program, *arguments) that starts Python on a text, away from the repository."""

    def started(program: str, *arguments: str, warnings: str = "error") -> subprocess.Popen:
        # a file for each start: one that is written again is empty for a moment, to a process that reads it
        file = tmp_path / f"program{len(list(tmp_path.glob('program*.py')))}.py"
        file.write_text(textwrap.dedent(program))
        return subprocess.Popen(
            [sys.executable, "-W", warnings, str(file), *arguments],
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return started


@pytest.fixture
def run(start: Callable[..., subprocess.Popen]) -> Callable[..., str]:
    """A function (program, *arguments) -> what it printed; the test fails if the program does."""

    def finished(program: str, *arguments: str, warnings: str = "error", timeout: float = 60) -> str:
        process = start(program, *arguments, warnings=warnings)
        out, complaint = process.communicate(timeout=timeout)
        assert process.returncode == 0, complaint
        return out

    return finished
