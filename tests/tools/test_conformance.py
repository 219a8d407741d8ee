"""`fbnet conformance`: cases by name, and what is written of them. (tests/formats/onnx runs the whole suite.)"""

from fbnet.tools.conformance import read_list


def test_cases_that_pass(program):
    found = program.json("conformance", "^test_(relu|top_k)$")
    assert set(found) == {"reference"}
    assert found["reference"]["test_relu"] == {"why": "", "constants": "", "fallback": False}
    assert found["reference"]["test_top_k"]["constants"] == "later"
    assert program("conformance", "^test_relu$").exit_code == 0


def test_cases_that_fail(program):
    assert program.fails("conformance", "^test_equal_string$", code=1) == "1 of 1 cases fail"


def test_list_and_page(program, tmp_path):
    listed, page = tmp_path / "list.txt", tmp_path / "page.md"
    result = program("conformance", "^test_(relu|equal_string)$", "--list", listed, "--page", page)
    assert result.exit_code == 0 and result.stdout == "1 passed, 1 failed\n"
    assert read_list(listed) == {"test_equal_string": "tensors of text"}
    assert "| Relu | 1 | 1 |" in page.read_text() and "| Equal | 1 | 0 |" in page.read_text()
