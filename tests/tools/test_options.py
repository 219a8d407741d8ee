import pytest
from fbnet.engine.errors import InputError
from fbnet.tools.options import read_labels, recipe_changes


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
