"""What all tests share: the zoo's files, fetched once and cached."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fbnet.engine.errors import FetchError
from fbnet.tools.fetch import fetch


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
