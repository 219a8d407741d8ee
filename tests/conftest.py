"""What all tests share: a cache folder that is empty at first, and the zoo's files, fetched once and kept."""

import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fbnet.engine.errors import FetchError
from fbnet.engine.settings import cache_folder
from fbnet.tools.fetch import fetch
from hypothesis import settings

settings.register_profile("fbnet", deadline=None, max_examples=50)  # time on a busy machine proves nothing
settings.load_profile("fbnet")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache folder of this test run: all its processes share it. Only the zoo in it is that of every day."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "fbnet-cache"
    folder.mkdir(exist_ok=True)
    with suppress(OSError):
        kept = cache_folder() / "zoo"
        kept.mkdir(parents=True, exist_ok=True)
        (folder / "zoo").symlink_to(kept.resolve())
    before = os.environ.get("FBNET_CACHE")
    os.environ["FBNET_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["FBNET_CACHE"]
    else:
        os.environ["FBNET_CACHE"] = before


@pytest.fixture
def thread_count() -> Callable[[], int]:
    """A function that counts Python's threads. What earlier tests left to the garbage collector is gone by now."""
    gc.collect()
    return threading.active_count


@pytest.fixture(scope="session")
def zoo() -> Callable[[str], Path]:
    """`zoo("squeezenet_v1.1")` is the folder with the files of that entry of the zoo.

    Without a network the test that asks is skipped, and says so; under CI it fails, so that nothing is forgotten.
    """

    def folder(name: str) -> Path:
        try:
            return fetch(name)
        except FetchError as error:
            if os.environ.get("CI", "").lower() not in ("", "0", "false"):
                raise
            pytest.skip(f"needs the zoo's {name}: {error}")

    return folder
