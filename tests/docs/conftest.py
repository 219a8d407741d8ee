"""What runs the pages of the documentation: every snippet, as it is printed, in the order of its page.

A page is Markdown. Of its fences
    ```python                  is run, all those of a page as one program
    ```python title="own.py"   is written to that file, and so is any other with a title
    ```bash                    is run line by line: `fbnet` in this process, `python FILE` in another. Lines that set
                               a machine up (pip, make, git ...) are left to whoever reads them
    ```text                    right behind one of them is what it prints, `...` standing for anything; or, for an
                               error, its kind and message
and, which readers do not see,
    <!-- needs: NAME/FILE as FILE -->   puts a file of the zoo's NAME into the folder
    <!-- file: NAME ... -->             writes one
    <!-- python ... -->                 is run first
    <!-- if: MODULE -->                 skips the page without it
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile, zip_longest
from pathlib import Path
from types import ModuleType

import fbnet
import pytest
from click.testing import CliRunner
from fbnet.engine.device import devices
from fbnet.engine.dtype import dtypes
from fbnet.engine.format import importers
from fbnet.engine.kernel import kernels
from fbnet.engine.layer import layers
from fbnet.engine.rewrite import rewrites
from fbnet.tools.main import main

ROOT = Path(fbnet.__file__).parent
FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```[ ]*$", re.M | re.S)
SETUP = (
    "pip",
    "make",
    "git",
    "cd",
    "python -m venv",
    ".",
    "source",
    "#",
    "jupyter",
    "cc",
)  # not run by a test


@dataclass(frozen=True)
class Block:
    """A fence: its language, the file it is to be written to, its text, its line, and what it has to print."""

    language: str
    title: str
    text: str
    line: int
    prints: str | None


def blocks(page: str) -> list[Block]:
    """The fences of a page that do something."""
    found: list[Block] = []
    matches = list(FENCE.finditer(page))
    for here, following in zip_longest(matches, matches[1:]):
        title = re.search(r'title="([^"]+)"', here[2])
        near = following is not None and not page[here.end() : following.start()].strip()
        prints = following[3] if near and following[1] == "text" and not following[2].strip() else None
        line = page.count("\n", 0, here.start()) + 1
        if here[1] in ("python", "bash") or title:
            found.append(Block(here[1], title[1] if title else "", here[3], line, prints))
    return found


@pytest.fixture
def own_registries(tmp_path: Path) -> Iterator[None]:
    """What is registered meanwhile is forgotten afterwards, and what is set in the environment."""
    environment = dict(os.environ)
    modules = set(sys.modules)
    yield
    os.environ.clear()
    os.environ.update(environment)
    for registry in (layers, kernels, rewrites, devices, dtypes, importers):
        for name, owner in list(registry._owners.items()):
            if owner.split(".")[0] != "fbnet":
                registry.discard(name)
    for name in set(sys.modules) - modules:  # files that a page wrote and somebody imported
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def run_page(
    own_registries: None, zoo: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str], None]:
    """A function (text, name) that runs the snippets of a page."""

    def run(text: str, name: str) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))  # as in a notebook, or in Python's own prompt
        for entry, file, alias in re.findall(r"<!-- needs: ([\w.-]+)(?:/(\S+))?(?: as (\S+))? -->", text):
            folder = zoo(entry)
            for path in [folder / file] if file else folder.iterdir():
                (tmp_path / (alias or path.name)).symlink_to(path)
        program = ModuleType(re.sub(r"\W", "_", name), name)
        monkeypatch.setitem(sys.modules, program.__name__, program)  # classes look their module up
        for module in re.findall(r"<!-- if: (\w+) -->", text):
            pytest.importorskip(module)
        for written, content in re.findall(r"<!-- file: (\S+)\n(.*?)-->", text, re.S):
            Path(written).parent.mkdir(parents=True, exist_ok=True)
            Path(written).write_text(content)
        for hidden in re.findall(r"<!-- python\n(.*?)-->", text, re.S):
            exec(hidden, vars(program))
        wrong = []
        for block in blocks(text):
            if block.title:
                Path(block.title).parent.mkdir(parents=True, exist_ok=True)
                Path(block.title).write_text(block.text)
                continue
            run_one = _run_python if block.language == "python" else _run_shell
            printed, failure = run_one(block, program)
            printed = _without_ends(printed)
            told = block.language == "bash" and block.prints is not None  # then what is printed is compared
            if failure and not told and not re.search(rf"^{failure}: ", block.prints or "", re.M):
                wrong.append(f"{name}, line {block.line} fails: {printed}")
            elif block.prints is not None and not _says(_without_ends(block.prints), printed):
                wrong.append(f"{name}, line {block.line} prints\n{printed}but the page says\n{block.prints}")
        if wrong:
            pytest.fail("\n".join(wrong), pytrace=False)

    return run


def _says(wanted: str, printed: str) -> bool:
    """Whether it is what was printed; `...` stands for anything."""
    return doctest.OutputChecker().check_output(wanted, printed, doctest.ELLIPSIS)


def _without_ends(text: str) -> str:
    """The text without blanks at the ends of its lines."""
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _run_python(block: Block, program: ModuleType) -> tuple[str, str]:
    """What it prints, and the kind of error that it ends in, '' if it ends well."""
    # As many empty lines before it as on the page, so that sources and tracebacks are right.
    code = compile(
        "\n" * block.line + block.text, str(ROOT / str(program.__doc__)), "exec", dont_inherit=True
    )
    out, failure = io.StringIO(), ""
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("default", category=fbnet.HostFallback)
        warnings.showwarning = lambda message, category, *_: print(f"{category.__name__}: {message}")
        try:
            exec(code, vars(program))
        except Exception as error:  # on a page about errors it is what is shown
            failure = type(error).__name__
            print(f"{failure}: {error}", file=out)
    return out.getvalue(), failure


def _run_shell(block: Block, program: ModuleType) -> tuple[str, str]:
    """What its commands print, and the name that the first failure goes by in their output, '' if none fails."""
    printed, failure = "", ""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words or words[0] in SETUP or line.startswith(SETUP):
            continue
        given = dict(word.split("=", 1) for word in takewhile(lambda w: re.match(r"[A-Z_]+=", w), words))
        words = words[len(given) :]
        if words[0] == "fbnet":
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("COLUMNS", "100")
                result = CliRunner().invoke(main, words[1:])
            printed += result.output
            if result.exit_code:
                failure = failure or "fbnet"  # an error is a line that begins with it
                printed += "" if result.output else f"exit code {result.exit_code}\n"
        elif words[0] == "python":
            environment = {**os.environ, "PYTHONPATH": str(ROOT.parent), **given}
            printed += subprocess.run(
                [sys.executable, *words[1:]], check=True, capture_output=True, text=True, env=environment
            ).stdout
        else:
            printed, failure = f"nobody can run {line!r} in a test\n", "line"
    return printed, failure
