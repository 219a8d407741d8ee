import os
import subprocess
import sys
from pathlib import Path

import pytest
from fbnet.engine.errors import CheckError, FetchError, InputError
from fbnet.tools.main import COMMANDS, main

ALL = [[name] for name in COMMANDS if name != "zoo"] + [["zoo", "list"], ["zoo", "get"]]
LENET = Path(main.callback.__code__.co_filename).parent / "lenet"


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_of_every_command(program, words):
    result = program(*words, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: main {' '.join(words)}")
    assert "--json" in result.stdout, "every command speaks JSON"


def test_help_lists_every_command(program):
    result = program("-h")
    assert result.exit_code == 0
    for name, text in COMMANDS.items():
        assert name in result.stdout and text in result.stdout


def test_version(program):
    assert program("--version").stdout.strip().endswith("0.1.0")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["rnu"], "there is no command 'rnu'. Did you mean 'run'?"),
        (["run"], "Missing argument 'MODEL'"),
        (["run", "net.fbnet", "x.png", "--tpo", "3"], "No such option"),
        (["run", "net.fbnet", "x.png", "--top", "0"], "'--top'"),
        (["run", "net.fbnet", "x.png", "--mean", "1,x"], "'1,x' is not like 104,117,123"),
        (["run", "net.fbnet", "x.png", "--size", "2by3"], "'2by3' is not like 227 or 224x320"),
        (["run", "net.fbnet", "x.png", "--input-color", "cmyk"], "'cmyk' is not one of"),
        (["run", "net.fbnet", "x.png"], "net.fbnet: there is no such file"),
        (["info", "net.fbnet"], "net.fbnet: there is no such file"),
        (["info", "net.fbnet", "--shape", "data=1x3"], "'data=1x3' is not like data=1,3,227,227"),
        (["info", __file__], "no importer for '.py'"),
        (["convert", "net.onnx"], "Missing option '-o'"),
        (["convert", "net.onnx", "-o", "net.pt"], "must end in .fbnet"),
        (["convert", "net.onnx", "-o", "net.fbnet"], "net.onnx: there is no such file"),
        (["convert", __file__, "-o", "net.fbnet"], "no importer for '.py'"),
        (["zoo", "get", "squeeznet"], "the zoo has no 'squeeznet'. Did you mean 'squeezenet_v1.1'?"),
        (["zoo", "get", "mnist", "-o", "mnist.fbnet"], "mnist is data, not a network"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_exit_2(program, words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert says in program.fails(*words)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("bad\nthing"), 2),
        (CheckError("no"), 1),
        (FetchError("no"), 1),
        (ZeroDivisionError("oh"), 1),
    ],
)
def test_exit_codes(program, monkeypatch, error, code):
    def failing(*_args, **_kwargs):
        raise error

    monkeypatch.setattr("fbnet.tools.demo.read_digits", failing)
    line = program.fails("demo", code=code)
    assert str(error).replace("\n", " ") in line


def test_interrupted(program, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("fbnet.tools.demo.read_digits", interrupted)
    result = program("demo")
    assert result.exit_code == 130 and result.stderr.strip() == "fbnet: interrupted"


def test_debug_shows_the_traceback():
    code = "from fbnet.tools.main import main; main(['info', 'nope.fbnet'])"
    assert "Traceback" not in python(code, FBNET_DEBUG="").stderr
    assert "Traceback" in python(code, FBNET_DEBUG="1").stderr


def test_no_arguments_is_help_and_exit_2(program):
    result = program()
    assert result.exit_code in (0, 2)  # click before 8.2 calls it no error
    assert "Commands:" in result.output


def test_help_and_run_import_nothing_that_they_do_not_need():
    code = """if True:
        import sys
        from fbnet.tools.main import main
        try:
            main(sys.argv[1:])
        except SystemExit as end:
            assert not end.code, end.code
        heavy = {"onnx", "google.protobuf", "rich", "fbnet.formats.onnx", "fbnet.formats.caffe"} & set(sys.modules)
        assert not heavy, heavy
    """
    for words in (["--help"], ["run", "--json", str(LENET / "lenet.fbnet"), str(LENET / "digit_7.png")]):
        ran = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr


def test_works_without_unicode_and_without_colour_in_a_pipe():
    code = "from fbnet.tools.main import main; main(['zoo', 'list'])"
    ran = python(code, PYTHONIOENCODING="ascii", FORCE_COLOR="", LC_ALL="C")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.isascii() and "\x1b" not in ran.stdout


def test_a_reader_that_leaves_early_is_no_error():
    code = "from fbnet.tools.main import main; main(['zoo', 'list', '--json'])"
    pipe = f'{sys.executable} -c "{code}" | head -c 1'
    ran = subprocess.run(["bash", "-c", pipe], capture_output=True, text=True, check=False)
    assert ran.stdout == "[" and ran.stderr == ""


def test_module_can_be_run():
    ran = subprocess.run(
        [sys.executable, "-m", "fbnet.tools.main", "--help"], capture_output=True, text=True, check=True
    )
    assert ran.stdout.startswith("Usage: fbnet ")


def test_a_warning_is_one_line():
    code = """if True:
        import warnings
        from fbnet.tools import demo, main
        demo.read_digits = lambda: warnings.warn("careful", stacklevel=1) or []
        demo.name_photos = lambda: []
        main.main(["demo", "--json"])
    """
    ran = python(code)
    assert ran.returncode == 0 and ran.stderr == "fbnet: careful\n"


def test_files_that_cannot_be_imported(program, tmp_path):
    assert "there is no such Python file" in program.fails("--import", tmp_path / "no.py", "layers")
    wrong = tmp_path / "wrong_one.py"
    wrong.write_text("1 / 0")
    assert "wrong_one.py: ZeroDivisionError" in program.fails("--import", wrong, "layers")
    taken = tmp_path / "json.py"
    taken.write_text("")
    assert "a module 'json' is there already" in program.fails("--import", taken, "layers")
