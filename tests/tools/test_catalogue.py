import re

import pytest
from fbnet.formats.ends import checked, with_answers
from fbnet.tools import packages
from fbnet.tools.catalogue import ENTRIES, entry
from fbnet.tools.packages import Package

PACKAGES = [value for value in vars(packages).values() if isinstance(value, Package)]


def test_names_are_unique():
    assert len({e.name for e in ENTRIES}) == len(ENTRIES)
    assert len({p.key for p in PACKAGES}) == len(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_pins_are_whole(package):
    assert package.client in ("wheel", "sdist", "npm")
    assert re.fullmatch(r"[0-9a-f]{64}", package.sha256) and package.bytes > 0
    assert package.files
    for file in package.files.values():
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256) and file.bytes > 0
        assert re.fullmatch(r"[\w.-]+", file.name), "a name without a path: it is written as it stands"
    assert any(package is e.package for e in ENTRIES), "a package that no entry uses"


@pytest.mark.parametrize("name", [e.name for e in ENTRIES])
def test_entries_are_whole(name):
    found = entry(name)
    assert set(found.files) <= set(found.package.files) and found.files and found.bytes > 0
    assert set(found.model) <= set(found.files)
    assert found.kind in ("network", "data") and found.about and found.licence
    if isinstance(found.labels, str):
        assert found.labels in found.files
    assert checked(found.image) == found.image and checked(found.answers, with_answers) == found.answers
