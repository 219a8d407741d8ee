"""Target: which level a machine is, and what people may call it."""

import platform
from pathlib import Path

import pytest
from fbnet import DeviceError
from fbnet.engine.device import devices
from fbnet.layers.cpu import target as module
from fbnet.layers.cpu.target import TARGETS, host, target

V3 = "avx avx2 bmi1 bmi2 f16c fma movbe"
V4 = f"{V3} avx512f avx512bw avx512cd avx512dq avx512vl"


@pytest.fixture(autouse=True)
def unknown_host(monkeypatch):
    """The machine is looked at anew, before and after."""
    monkeypatch.delenv("FBNET_TARGET", raising=False)
    host.cache_clear()
    yield
    host.cache_clear()


@pytest.mark.parametrize(
    ("name", "lanes", "registers", "fma"),
    [
        ("x86-64-v2", 4, 16, False),
        ("x86-64-v3", 8, 16, True),
        ("x86-64-v3+vnni", 8, 16, True),
        ("x86-64-v4", 16, 32, True),
        ("x86-64-v4+vnni", 16, 32, True),
        ("aarch64", 4, 32, True),
        ("aarch64+dotprod", 4, 32, True),
        ("armv7", 4, 16, True),
        ("riscv64", 4, 32, True),
        ("wasm32", 4, 16, False),
    ],
)
def test_targets(name, lanes, registers, fma):
    found = target(name)
    assert (str(found), found.lanes, found.registers, found.fma) == (name, lanes, registers, fma)
    assert found is TARGETS[name] and len(TARGETS) == 10


def test_an_unknown_target():
    message = (
        r"^target 'x86-64-v5' is unknown\. Did you mean 'x86-64-v\d'\? There are: x86-64-v2, .*, wasm32$"
    )
    with pytest.raises(DeviceError, match=message):
        target("x86-64-v5")


@pytest.mark.parametrize(
    ("machine", "flags", "wanted"),
    [
        ("x86_64", "sse2", "x86-64-v2"),
        ("AMD64", V3, "x86-64-v3"),
        ("x86_64", V3.replace(" fma", ""), "x86-64-v2"),
        ("x86_64", V4, "x86-64-v4"),
        ("x86_64", V4 + " avx512_vnni", "x86-64-v4+vnni"),
        ("x86_64", V3 + " avx_vnni", "x86-64-v3+vnni"),
        ("x86_64", V3 + " avx512_vnni", "x86-64-v3"),
        ("x86_64", V4.replace(" avx512vl", ""), "x86-64-v3"),
        ("aarch64", "", "aarch64"),
        ("arm64", "", "aarch64"),
        ("aarch64", "asimddp", "aarch64+dotprod"),
    ],
)
def test_the_host_is_the_highest_level_whose_flags_it_has(monkeypatch, machine, flags, wanted):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    title = "flags" if machine.lower() in ("x86_64", "amd64") else "Features"
    monkeypatch.setattr(
        Path, "read_text", lambda self: f"processor: 0\n{title}\t\t: fpu {flags} x\nflags: none\n"
    )
    assert host().name == wanted and host() is host()


def test_where_linux_does_not_tell_llvm_does(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    told = module._flags("flags")

    def nothing(self):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", nothing)
    asked = module._flags("flags")
    levels = module._V4
    assert asked & levels == told & levels


def test_a_machine_that_we_do_not_know(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "s390x")
    with pytest.raises(
        DeviceError, match=r"the cpu device knows no target for 's390x'; use device='reference'"
    ):
        host()


def test_the_environment_chooses(monkeypatch):
    monkeypatch.setenv("FBNET_TARGET", "x86-64-v2")
    assert host().name == "x86-64-v2"
    cpu = devices["cpu"]
    assert (cpu.target, cpu.lanes, cpu.registers) == ("x86-64-v2", 4, 16)
    host.cache_clear()
    monkeypatch.setenv("FBNET_TARGET", "pentium")
    with pytest.raises(DeviceError, match="target 'pentium' is unknown"):
        host()
