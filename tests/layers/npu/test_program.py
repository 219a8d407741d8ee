"""The binary: what is damaged or hostile is refused with a typed error, and what runs stays within its memories."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from fbnet import CompileError, FileError
from fbnet.layers.npu.assemble import assemble
from fbnet.layers.npu.commands import Conv, Eltwise, Load, Loadw, Pool, Store, Table
from fbnet.layers.npu.cost import beats, cycles
from fbnet.layers.npu.execute import Memory, execute
from fbnet.layers.npu.fields import COMMANDS, SIZE, kind_of, parts
from fbnet.layers.npu.machine import CHIP
from fbnet.layers.npu.program import Program
from fbnet.layers.npu.timing import timing


@pytest.fixture(scope="module")
def program(branched):
    return assemble(branched, {"x": (1, 5, 23, 27)})


def sealed(data: bytes) -> bytes:
    """The file with the checksum that belongs to it."""
    return data[:12] + struct.pack("<I", zlib.crc32(data[64:])) + data[16:]


def test_a_file_is_read_as_it_was_written(program):
    data = program.write()
    again = Program.read(data)
    assert again.inputs == program.inputs and len(again.commands) == len(program.commands) > 20
    assert again.write() == data


def test_truncated_and_damaged(program):
    data = program.write()
    for size in {*range(80), *range(80, len(data), 97)}:
        with pytest.raises(FileError):
            Program.read(data[:size])
    with pytest.raises(FileError, match="its checksum is wrong"):
        Program.read(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(FileError, match="of version 2; this chip runs version 1"):
        Program.read(data[:8] + b"\2" + data[9:])
    with pytest.raises(
        FileError, match="was assembled for buffers of 524,288 and 262,144 bytes; this chip has 1,024"
    ):
        Program.read(data, replace(CHIP, activations=1024))
    with pytest.raises(FileError, match="asks for 4,294,967,295 bytes of DRAM"):
        Program.read(data[:28] + b"\xff" * 4 + data[32:])


def test_mutated_files_are_refused_or_run(program):
    """Bytes changed at random, under a right checksum: a FileError, or a run that leaves nothing but its results."""
    data, random = program.write(), np.random.default_rng(3)
    code = data.index(program.commands[0].encode())
    end, refused = code + SIZE * len(program.commands), 0
    for _ in range(400):
        changed = bytearray(data)
        low = 16 if random.random() < 0.3 else code
        for at in random.integers(low, end, random.integers(1, 4)):
            changed[at] = random.integers(256)
        try:
            found = Program.read(sealed(bytes(changed)))
        except FileError:
            refused += 1
            continue
        execute(found.commands, Memory(CHIP, found.dram, found.image))
    assert 200 < refused < 400


LIMITS = 0, 0, -128, 127  # x_zero, zero, low, high
GOOD = {
    Load: Load(16, 0, 0, (2, 3, 4), (1000, 100, 20), (192, 64, 16)),
    Store: Store(16, 0, 0, (1, 1, 4), (0, 0, 16), (0, 0, 32)),
    Loadw: Loadw(256, 0, 0),
    Conv: Conv(0, 4096, 35, 30, 3, 7, 5, 0, 7, 0, 6, 5, (3, 3), (1, 1), (1, 1), *LIMITS, outputs=4, parameters=128),
    Pool: Pool(0, 4096, 35, 12, 3, 7, 5, 0, 7, 0, 4, 3, (2, 2), (2, 2), (1, 1), *LIMITS),
    Eltwise: Eltwise(0, 2, 100, 4096, (0, 100, 0, 0), multiplier=(1.0, 1.0, 0.0, 0.0)),
    Table: Table(100, 0, 4096, 0),
}  # fmt: skip
BAD = [
    (Load, dict(run=0), "run is 0"),
    (Load, dict(count=(1, 0, 1)), "count is 0"),
    (Load, dict(dram=5000), "reads bytes 5000 to 6276 of the DRAM, which has 6000"),
    (
        Load,
        dict(chip_step=(1 << 20, 0, 0)),
        r"writes bytes 0 to \d+ of the activation buffer, which has 524288",
    ),
    (Load, dict(run=1 << 31), "moves"),
    (Store, dict(dram=0xFFFFFFFF), "writes bytes 4294967295 to"),
    (Loadw, dict(size=4097), "of the weights image, which has 4096"),
    (Loadw, dict(chip=262144), "of the weight buffer, which has 262144"),
    (Conv, dict(kernel=(0, 3)), "kernel is 0"),
    (Conv, dict(x_plane=34), "x_plane is 34 but a channel has 35 bytes"),
    (Conv, dict(y_plane=29), "y_plane is 29 but a channel has 30 bytes"),
    (Conv, dict(flags=1), "y_plane is 30 but a channel has 120 bytes"),
    (Conv, dict(flags=3, y_plane=120), "flags are 3"),
    (Conv, dict(flags=64), "flags are 64"),
    (Conv, dict(flags=4), "4 depthwise outputs are no multiple of 3 channels"),
    (Conv, dict(x_row=1, x_rows=6), "needs the image's rows 0 to 7, but has 1 to 7"),
    (Conv, dict(x_row=3), "rows 3 to 10 are not of an image of 7"),
    (Conv, dict(low=1, high=0), "low is 1 and high is 0"),
    (Conv, dict(y=60), "writes over what it reads"),
    (Conv, dict(w=262143), "reads bytes 262143 to 262251 of the weight buffer"),
    (Conv, dict(parameters=262140), "of the weight buffer"),
    (Conv, dict(flags=48, parameters=262052), "reads bytes 262052 to 262148 of the weight buffer"),
    (Conv, dict(flags=8, residual=524288, residual_plane=30), "of the activation buffer"),
    (Conv, dict(flags=8, residual_plane=29), "residual_plane is 29"),
    (Conv, dict(residual_multiplier=float("nan")), "residual_multiplier is nan"),
    (Conv, dict(stride=(255, 255), y_rows=200, y_width=200, y_plane=40000), "its windows reach"),
    (Conv, dict(kernel=(60000, 3)), "its windows reach|of the weight buffer|products"),
    (Pool, dict(kernel=(300, 300)), "a sum that float32 may not hold"),
    (Pool, dict(flags=4), "flags are 4"),
    (Pool, dict(multiplier=float("inf")), "multiplier is inf"),
    (Eltwise, dict(inputs=5), "operation 0 of 5 inputs"),
    (Eltwise, dict(operation=1, inputs=3), "operation 1 of 3 inputs"),
    (Eltwise, dict(operation=3), "operation 3"),
    (Eltwise, dict(repeat=2), "repeat is 2"),
    (Eltwise, dict(operation=1, repeat=3), "repeat is 3 for 100 numbers"),
    (Eltwise, dict(x=(0, 524200, 0, 0)), "reads bytes 524200 to 524300"),
    (Table, dict(table=262143), "of the weight buffer"),
    (Table, dict(y=50), "writes over what it reads"),
]


@pytest.mark.parametrize(("kind", "changes", "said"), BAD, ids=lambda v: getattr(v, "__name__", str(v)))
def test_every_number_is_checked(program, kind, changes, said):
    def holding(command):
        return replace(
            program, inputs=(), outputs=(), commands=[command], dram=6000, image=bytes(4096)
        ).check()

    assert holding(GOOD[kind]).commands
    with pytest.raises(FileError, match=rf"^command 0, {kind.__name__.upper()}:? .*({said})"):
        holding(replace(GOOD[kind], **changes))


def test_commands_byte_by_byte(program):
    data = program.write()
    at = data.index(program.commands[0].encode())
    with pytest.raises(FileError, match=r"command 0: there is no command with code 99$"):
        Program.read(sealed(data[:at] + b"\x63" + data[at + 1 :]))
    with pytest.raises(FileError, match=r"the bytes behind .*'s fields are not zero$"):
        Program.read(sealed(data[: at + SIZE - 1] + b"\1" + data[at + SIZE :]))
    with pytest.raises(CompileError, match=r"^CONV: channels is 70000, which no u16 holds$"):
        replace(GOOD[Conv], channels=70000).encode()


def test_cycles_by_hand(program):
    conv = replace(GOOD[Conv], outputs=33)  # 6 × 5 pixels, 27 products, two groups of columns
    assert cycles(conv, CHIP) == 32 + 30 * 2 * 1
    assert cycles(replace(conv, channels=32), CHIP) == 32 + 30 * 2 * 9
    assert cycles(replace(conv, flags=4, channels=33), CHIP) == 32 + 30 * 2 * 1
    assert (
        cycles(replace(conv, flags=4, channels=33, stride=(1, 2)), CHIP) == 32 + 30 * 2 * 2
    )  # six rows' cells
    assert cycles(GOOD[Eltwise], CHIP) == 32 + 4
    assert beats(100, 0, (4,), (100,), CHIP) == 25  # no gaps: 400 bytes
    assert beats(16, 0, (4,), (32,), CHIP) == 4 and beats(16, 1, (4,), (32,), CHIP) == 8
    load, add = replace(GOOD[Load], count=(1, 1, 1)), replace(GOOD[Eltwise], size=16)
    waits, not_ = (timing(replace(program, commands=[load, replace(add, x=(x, 200, 0, 0))], names=()))
                   for x in (0, 300))  # fmt: skip
    assert (waits.cycles, not_.cycles) == (
        33 + 33,
        33,
    )  # the sum waits for the bytes that it reads, and for no others


def test_the_page_has_every_field(request):
    """docs/npu.md says of each command where each field is, in the order of the file."""
    page = (request.config.rootpath / "docs" / "npu.md").read_text()
    for code, command in COMMANDS.items():
        name = command.__name__.upper()
        section = page[page.index(f"### {name}, code {code}") :]
        rows = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$", section.split("\n### ")[0], re.M)
        wanted, at = [], 1
        for part, size in parts(command):
            wanted.append((str(at), kind_of(part), part.name, part.metadata["meaning"]))
            at += size
        assert rows == wanted, name
