"""The house: where things lie, what may import what, and that there is one copy of the package."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import fbnet
import pytest

ROOT = Path(fbnet.__file__).parent
FOLDERS = ("engine", "layers", "formats", "tools")
SOURCES = sorted(p for folder in FOLDERS for p in (ROOT / folder).rglob("*.py"))
TARGETS = ("cpu", "cuda", "examples", "lib", "npu", "opencl", "reference")

# Who may use which library. `*` in a path stands for anything below it.
HEAVY = {
    "numba": ("layers/cpu/", "layers/cuda/"),
    "llvmlite": ("layers/cpu/",),
    "pyopencl": ("layers/opencl/chip.py",),
    "flatbuffers": ("formats/",),
    "onnx": ("formats/onnx/", "tools/"),
    "torch": ("formats/torch/",),
    "sympy": ("formats/torch/",),
    "google": ("formats/caffe", "formats/onnx/", "tools/"),
    "PIL": ("tools/",),
    "click": ("tools/",),
    "rich": ("tools/",),
    "platformdirs": ("engine/settings.py", "tools/"),
}


def imports(path: Path) -> list[tuple[int, str]]:
    """Every import of a file as (line, dotted name); relative ones resolved to `fbnet. ...`."""
    package = ("fbnet", *path.relative_to(ROOT).parent.parts)
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            stem = ".".join(part for part in (base, node.module) if part)
            found += [(node.lineno, f"{stem}.{alias.name}") for alias in node.names]
    return found


def place(name: str) -> tuple[str, ...]:
    """'fbnet.layers.cpu.gemm.x' -> ('layers', 'cpu', 'gemm', 'x')."""
    return tuple(name.split(".")[1:])


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_import_arrows(path: Path) -> None:
    """engine <- layers <- layers/<target>; engine <- formats; everything <- tools; and never otherwise."""
    here = path.relative_to(ROOT)
    for line, name in imports(path):
        where = f"{here}:{line}: {name}"
        top = name.split(".")[0]
        for library, owners in HEAVY.items():
            if top == library:
                assert str(here).startswith(owners), f"{where}: {library} belongs to {owners}"
        if top != "fbnet":
            assert here.parts[0] != "engine" or top in {*sys.stdlib_module_names, "numpy", "platformdirs"}, (
                where
            )
            continue
        target = place(name)
        assert isinstance(name, str) and not path.read_text().startswith("import fbnet")
        if here.parts[0] == "engine":
            assert target[0] == "engine", f"{where}: the engine imports only itself"
        elif here.parts[0] == "formats":
            assert target[0] in ("engine", "formats"), f"{where}: a format knows the engine only"
            importer = len(here.parts) > 2 and target[0] == "formats" and len(target) > 1
            others = {p.parent.name for p in (ROOT / "formats").glob("*/__init__.py")} - {here.parts[1]}
            assert not (importer and target[1] in others), f"{where}: no importer imports another"
        elif here.parts[:2] in {("layers", t) for t in TARGETS}:
            other = (
                target[0] == "layers"
                and len(target) > 1
                and target[1] in TARGETS
                and target[1] != here.parts[1]
            )
            assert target[0] in ("engine", "layers") and not other, (
                f"{where}: a target knows engine and layers"
            )
        elif here.parts[0] == "layers" and here.name != "__init__.py":
            assert target[0] == "engine", f"{where}: layer files do not import each other"


def test_no_absolute_imports_of_the_package_inside_it() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            assert not [n for n in names if n.split(".")[0] == "fbnet"], f"{path}:{node.lineno}"


def test_packages_listed_are_the_folders() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    listed = set(
        re.findall(r'"(fbnet[.\w]*)",', text[text.index("packages = [") : text.index("include-package")])
    )
    found = {
        ".".join(("fbnet", *p.parent.relative_to(ROOT).parts))
        for folder in FOLDERS
        for p in (ROOT / folder).rglob("__init__.py")
    }
    assert listed == found | {"fbnet"}


def test_only_the_front_door_lies_at_the_root() -> None:
    assert [p.name for p in ROOT.glob("*.py")] == ["__init__.py"]
    assert not list((ROOT / "tests").rglob("__init__.py")), "tests are no package"


def test_one_copy_in_memory() -> None:
    """Importing the root file under another name, as tools do, must not register every layer twice."""
    program = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('checkout', {str(ROOT / '__init__.py')!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['checkout'] = module\n"
        "spec.loader.exec_module(module)\n"
        "import checkout, fbnet\n"
        "assert checkout is fbnet\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd="/")


def test_public_names() -> None:
    public = {n for n in vars(fbnet) if not n.startswith("_")}
    modules = {"engine", "layers", "formats", "tools"}
    assert set(fbnet.__all__) == public - modules
    for name in fbnet.__all__:
        assert getattr(fbnet, name).__doc__, f"{name} has no docstring"


def test_files_hold_one_idea() -> None:
    """A file that outgrows 500 lines most likely holds two."""
    long = {str(p.relative_to(ROOT)): n for p in SOURCES if (n := len(p.read_text().splitlines())) > 500}
    assert not long


def test_import_is_light() -> None:
    """`import fbnet` must not bring in what only compiling, converting or the command line need."""
    program = "import fbnet, sys; print(*sorted(m.split('.')[0] for m in sys.modules))"
    loaded = set(
        subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        ).stdout.split()
    )
    assert not loaded & (HEAVY.keys() - {"platformdirs"})
