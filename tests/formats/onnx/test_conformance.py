"""The ONNX project's own backend suite. What does not pass is in conformance.txt with its reason; nothing else is."""

from __future__ import annotations

from pathlib import Path

import fbnet
import pytest
from fbnet.tools.conformance import list_of, page_of, read_list
from fbnet.tools.onnx_classes import class_of, counted
from fbnet.tools.onnx_suite import Verdict, cases, out_of_scope, verdict

FAILING = read_list(Path(__file__).with_name("conformance.txt"))
CASES = cases()


def judge(name: str, device: str) -> None:
    """A case passes, or it is in the list; one that is in the list does not pass."""
    found = verdict(CASES[name], device)
    listed = FAILING.get(name) or (FAILING.get(f"{name} on {device}") if device != "reference" else None)
    if listed is None:
        assert not found.why, f"{name} on {device}: {found.why}"
    else:
        assert found.why, f"{name} passes on {device}: take it out of conformance.txt ({listed})"


@pytest.mark.parametrize("name", CASES)
def test_reference(name: str) -> None:
    judge(name, "reference")


@pytest.mark.filterwarnings("ignore::fbnet.engine.lower.HostFallback")
@pytest.mark.parametrize("name", CASES)
def test_cpu(name: str) -> None:
    judge(name, "cpu")


def test_the_list_names_cases_and_reasons() -> None:
    assert {name.split(" on ")[0] for name in FAILING} <= set(CASES)
    assert all(FAILING.values())


def test_most_cases_of_inference_pass() -> None:
    """Of what exporters write for networks that see and read; the others are counted, too, in docs/onnx.md."""
    nodes = {n: c for n, c in CASES.items() if c.kind == "node"}
    classes = {n: class_of(c.operator, n, out_of_scope(c.model)) for n, c in nodes.items()}
    table = counted(classes, {name.split(" on ")[0] for name in FAILING})
    assert sum(cases for cases, _ in table.values()) == len(nodes)
    assert table["inference"][1] >= 1355 and sum(passed for _, passed in table.values()) >= 1518
    page = (Path(fbnet.__file__).parent / "docs" / "onnx.md").read_text()
    assert f"| inference | {table['inference'][0]} | {table['inference'][1]} |" in page


def test_list_and_page_say_what_happened() -> None:
    names = ["test_add", "test_relu", "test_acos"]
    chosen = {name: CASES[name] for name in names}
    fine, slow, bad = Verdict("", "later"), Verdict("", fallback=True), Verdict("is wrong")
    results = {
        "reference": {"test_add": fine, "test_relu": fine, "test_acos": bad},
        "cpu": {"test_add": slow, "test_relu": bad, "test_acos": bad},
    }
    assert list_of(results).splitlines()[-3:] == ["is wrong", "    test_acos", "    test_relu on cpu"]
    page = page_of(chosen, results)
    assert "| Relu | 1 | 1 | 0 | 1 |  |" in page and "| node | 3 | 2 | 1 | 2 | 1 |" in page
