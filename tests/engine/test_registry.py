"""Registry: loud on duplicates, helpful on unknown names, lazy where it was told to be."""

import sys
import types

import pytest
from fbnet import RegistryError
from fbnet.engine import registry as module
from fbnet.engine.registry import Registry
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def colours():
    found = Registry("colour")
    found.add("red", 1, "here")
    found.add("Green", 2, "there")
    return found


def test_look_up(colours):
    assert colours["red"] == 1 and colours["Green"] == 2
    assert "red" in colours and "blue" not in colours
    assert list(colours) == ["red", "Green"] and len(colours) == 2 and colours.values() == [1, 2]
    assert colours.owner("Green") == "there" and colours.owners() == {"here", "there"}


def test_a_duplicate_is_loud_and_changes_nothing(colours):
    with pytest.raises(RegistryError, match=r"^colour 'red' is already registered by here$"):
        colours.add("red", 3, "elsewhere")
    assert colours["red"] == 1 and colours.owner("red") == "here"


def test_an_unknown_name_is_helped(colours):
    with pytest.raises(RegistryError, match=r"^colour 'green' is not registered\. Did you mean 'Green'\?$"):
        colours["green"]
    with pytest.raises(RegistryError, match=r"^colour 'x' is not registered\.$"):
        colours.owner("x")


def test_discard_lets_a_name_be_used_again(colours):
    colours.discard("red")
    colours.discard("never there")
    assert "red" not in colours and colours.owners() == {"there"}
    assert colours.add("red", 5, "me") == 5 and colours["red"] == 5


def test_later_is_imported_when_asked_for(colours, monkeypatch):
    imported = []

    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "paint":
                imported.append(name)
                colours.add("blue", 4, "paint")
                monkeypatch.setitem(sys.modules, "paint", types.ModuleType("paint"))
            return None

    monkeypatch.setattr(module, "import_module", lambda name: Finder().find_spec(name))
    colours.add_later("blue", "paint")
    assert list(colours) == ["red", "Green", "blue"] and len(colours) == 3 and not imported
    assert colours["red"] == 1 and not imported
    assert colours["blue"] == 4 and imported == ["paint"]
    assert "blue" in colours and len(colours) == 3 and imported == ["paint"]


def test_plug_ins_are_loaded_once_and_only_for_unknown_names(colours, monkeypatch):
    loaded = []

    class Point:
        def load(self):
            loaded.append(1)
            colours.add("mauve", 7, "plugin")
            assert "nobody" not in colours  # a plug-in may look things up itself

    monkeypatch.setattr(module, "_plugins", None)
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group: [Point()] * (group == "fbnet.plugins")
    )
    assert colours["red"] == 1 and not loaded
    assert colours["mauve"] == 7 and "unknown" not in colours
    assert loaded == [1]


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), max_size=30))
def test_it_is_a_dict_that_refuses_to_overwrite(operations):
    found, model = Registry("thing"), {}
    for number, (name, remove) in enumerate(operations):
        if remove:
            found.discard(name)
            model.pop(name, None)
        elif name in model:
            with pytest.raises(RegistryError):
                found.add(name, number, "test")
        else:
            found.add(name, number, "test")
            model[name] = number
        assert list(found) == list(model) and found.values() == list(model.values())
        assert all(found[n] == v for n, v in model.items())


def test_a_plug_in_that_cannot_be_imported_is_named(colours, monkeypatch):
    class Point:
        value = "mauve.paint"

        def load(self):
            raise ImportError("no module named 'pigment'")

    monkeypatch.setattr(module, "_plugins", None)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [Point()])
    with pytest.raises(
        RegistryError, match=r"plug-in mauve.paint cannot be imported: ImportError: no module named"
    ):
        _ = colours["mauve"]
    assert colours["red"] == 1
    with pytest.raises(RegistryError, match="'mauve' is not registered"):
        _ = colours["mauve"]
