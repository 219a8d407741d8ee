"""The site: it builds strictly, no link is dead, and what is made from the code is all there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import fbnet
import pytest
from fbnet.engine.layer import layers as types
from fbnet.tools.main import COMMANDS
from fbnet.tools.pages import api, commands, coverage, examples, layers, messages, reading

ROOT = Path(fbnet.__file__).parent


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("material")
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    # the package is this checkout, whatever is installed
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT.parent)}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    return folder


def test_it_builds_and_no_link_is_dead(site: Path) -> None:
    pages = {path: path.read_text("utf-8") for path in site.rglob("*.html")}
    assert len(pages) > len(types)
    names = {path: set(re.findall(r'\sid="([^"]+)"', text)) for path, text in pages.items()}
    for path, text in pages.items():
        for link in re.findall(r'(?:href|src)="([^"]+)"', text):
            if re.match(r"[a-z]+:|//", link) or path.name == "404.html":
                continue
            target, _, anchor = link.partition("#")
            there = (path.parent / target.split("?")[0]).resolve() if target else path
            there = there / "index.html" if there.is_dir() else there
            assert there.exists(), f"{path.relative_to(site)}: {link}"
            if anchor and there in names and not anchor.startswith("__"):
                assert anchor in names[there], f"{path.relative_to(site)}: {link}"


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """The pages work without a network: styles, scripts and pictures lie beside them."""
    for path in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|link)\b[^>]*(?:src|href)="(https?:[^"]+)"', path.read_text("utf-8")
        )
        assert not loaded, path


def test_every_public_name_is_documented() -> None:
    page = api.page()
    for name in fbnet.__all__:
        assert f"\n### {name}\n" in page, f"{name} is not on the page of the API"
        assert getattr(fbnet, name).__doc__
    assert "## More" not in page, "a public name belongs into one of api.GROUPS"


def test_every_layer_has_a_page() -> None:
    pages = layers.pages()
    for cls in layers.every():
        page = pages[f"layers/{cls.type}.md"]
        assert layers.formula(cls)[0] in page and "<svg" in page
        assert all(f"| `{name}` |" in page for name in [*cls.declared, *cls.parameters, *cls.results])
        assert f"[{cls.type}](layers/{cls.type}.md)" in pages["layers.md"]
        for code in re.findall(r"```python\n(.*?)```", page, re.S):
            exec(code, {})
    assert "| cpu |" in pages["layers/Convolution.md"] and "arxiv.org" in pages["layers/Convolution.md"]
    assert 'class="curve"' in pages["layers/ReLU.md"]


def test_every_command_and_option_is_there() -> None:
    page = commands.page()
    assert all(f"## fbnet {name}\n" in page for name in COMMANDS)
    assert "## fbnet zoo get\n" in page and "--max-workspace" not in page and "--threads" in page


def test_coverage_is_the_importers_own() -> None:
    tables = coverage.tables()
    page = coverage.page()
    for name, table in tables.items():
        assert len(table) > 10 and f"| {name} | {len(table)} |" in page
    assert "Convolution" in tables["Caffe"] and "Conv" in tables["ONNX"] and "`NonZero`" in page


def test_every_kind_of_error_has_cause_fix_and_an_example() -> None:
    page = (ROOT / "docs/errors.md").read_text("utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.M | re.S))
    kinds = [n for n in fbnet.__all__ if n.endswith("Error")]
    assert sorted(kinds) == sorted(set(sections) - {"HostFallback"})
    for kind in kinds:
        if kind != "FbnetError":
            assert "**Cause.**" in sections[kind] and "**Fix.**" in sections[kind], kind
            assert re.search(rf"```text\n(fbnet|{kind}): ", sections[kind]), f"{kind} has no example"
    assert set(messages.messages()) == set(kinds) - {"FbnetError"}


def test_the_reading_path_is_short() -> None:
    """Front door to kernel in at most 400 lines of source, in the order in which they run."""
    assert sum(len(reading.lines_of(name)) for name in reading.PATH) <= reading.MOST_LINES == 400
    first, *_, last = reading.PATH
    assert first == "engine.net:Net.__call__" and last == "layers.cpu.activation:relu"
    # each function is named by one that was read before it: nobody gets lost
    read = ""
    for name in reading.PATH:
        own = name.rpartition(":")[2].rpartition(".")[2]
        called = "Session" if own == "__init__" else own
        assert not read or own in ("_argument_block", "relu", "bind_relu") or called.lstrip("_") in read, name
        read += "\n".join(reading.lines_of(name))


def test_examples_are_notebooks_too() -> None:
    for text in examples.notebooks().values():
        notebook = json.loads(text)
        code = "\n".join(c["source"] for c in notebook["cells"] if c["cell_type"] == "code")
        assert notebook["nbformat"] == 4 and "%pip install" in code
        compile(re.sub(r"^%.*", "", code, flags=re.M), "notebook", "exec")
