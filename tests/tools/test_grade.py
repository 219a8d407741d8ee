"""`fbnet grade`: what is wrong is said in one line. Right solutions are graded by the pages of the course."""

from fbnet.tools.exercises import exercises


def test_the_list_and_a_task(program):
    assert {row["name"] for row in program.json("grade")} == set(exercises())
    task = program("grade", "softmax").stdout
    assert "MySoftmax" in task and exercises()["softmax"].formula in task


def test_what_is_handed_in_wrong(program, tmp_path):
    empty = tmp_path / "handed_in_empty.py"
    empty.write_text("")
    assert program.fails("grade", "softmx").startswith(
        "there is no exercise 'softmx'. Did you mean 'softmax'?"
    )
    assert program.fails("grade", "softmax", tmp_path / "no.py").endswith("no.py: there is no such file")
    result = program("grade", "softmax", empty, "--json")
    assert result.exit_code == 1 and "layer type 'MySoftmax' is not registered" in result.stdout
