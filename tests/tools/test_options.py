import click
import pytest
from fbnet.engine.errors import InputError
from fbnet.tools.options import PlanFor, Size, read_labels, recipe_changes


def test_labels_without_wordnet_ids(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("n02124075 Egyptian cat\nplain dog \n\nn1 odd\n\n", "utf-8")
    assert read_labels(path) == ["Egyptian cat", "plain dog", "", "n1 odd"]


@pytest.mark.parametrize("content", [None, b"", b"\n\n", b"\xff\xfe\x00"])
def test_files_that_hold_no_labels(tmp_path, content):
    path = tmp_path / "labels.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"labels\.txt"):
        read_labels(path)


def test_only_given_options_change_the_recipe():
    assert recipe_changes({"size": None, "mean": [1.0], "input_color": "bgr"}) == {
        "mean": [1.0],
        "order": "BGR",
    }
    assert recipe_changes({"size": None, "input_color": None}) == {}


def test_how_an_image_comes_to_its_size():
    assert recipe_changes({"crop": [224, 224], "resize": 256}) == {
        "size": [224, 224],
        "shorter": 256,
        "fit": "crop",
    }
    assert recipe_changes({"size": [8, 9], "letterbox": True}) == {"size": [8, 9], "fit": "letterbox"}
    assert recipe_changes({"size": [], "fit": "multiple", "fill": 0}) == {
        "size": [],
        "fit": "multiple",
        "fill": 0,
    }
    with pytest.raises(InputError, match=r"by one way, not by crop and letterbox"):
        recipe_changes({"resize": 256, "letterbox": True})
    with pytest.raises(InputError, match=r"by one way, not by cut and letterbox"):
        recipe_changes({"fit": "cut", "letterbox": True})
    with pytest.raises(InputError, match=r"--crop says the size that the net reads: leave --size away"):
        recipe_changes({"crop": [8, 8], "size": [8, 8]})


def test_the_words_of_options():
    assert Size().convert("224x320", None, None) == [224, 320] and Size().convert("any", None, None) == []
    assert PlanFor().convert("cpu:2", None, None) == ("cpu", 2)
    assert PlanFor().convert("cpu", None, None) == ("cpu", None)
    for words in ("cpu:0", "cpu:two", ""):
        with pytest.raises(click.BadParameter, match=r"is not like cpu:2"):
            PlanFor().convert(words, None, None)
