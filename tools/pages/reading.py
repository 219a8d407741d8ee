"""The page that walks one forward through the source, front door to kernel, in the order in which it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import reduce
from importlib import import_module
from textwrap import dedent
from typing import Any

MOST_LINES = 400  # of source on the way; a newcomer reads it in ten minutes

# what is read -> why it comes next
PATH = {
    "engine.net:Net.__call__": "The front door: `y = net(x)`. Arrays get their names, and off they go.",
    "engine.session:run_once": "A net may be cut into pieces, so that images of many sizes share a plan.",
    "engine.session:_run_piece": "Each piece has a plan for the shapes at hand, and sessions kept ready for it.",
    "engine.net:Net.compile": "It makes a plan, or finds one.",
    "engine.compile:compile_net": "**Compile.** The same wish gives the same plan: look in memory first ...",
    "engine.compile:_found_or_made": "... then on disk, then make it. Two processes never make one plan twice.",
    "engine.compile:_made": "Making it is four calls: rewrite, specs, lower, record.",
    "engine.rewrite:apply": "**Rewrite**: rules replace chains of layers by fewer, until none fits any more.",
    "engine.lower:lower": "**Lower**: a kernel for every layer, one after the other.",
    "engine.lower:_Lowering.add": "A layer without a kernel is said aloud.",
    "engine.lower:_Lowering._choose": "Candidates by score; the first that does not refuse. Why others did is kept.",
    "engine.kernel:candidates": "The registry of kernels, by layer, device and dtype.",
    "engine.record:record": "**Record**: tensors get places, calls become words.",
    "engine.record:_Writer.steps": "A step for each stage of a kernel.",
    "engine.record:_Writer._step": "Each parameter becomes words: a number, or an address to be filled in.",
    "engine.session:Session.__init__": "A session is one running copy of a plan; its device makes it a handle.",
    "engine.session:Session.run": "**Run.** A session sets inputs, replays, reads outputs: calls of its device.",
    "layers.cpu.device:Cpu.prepare": "Once a session: load the code, allocate the arena, start the threads ...",
    "layers.cpu.device:_argument_block": "... and turn offsets into addresses.",
    "layers.cpu.device:Cpu.forward": "The whole list of steps is one native call.",
    "layers.cpu.threads:Team.replay": "Sleeping workers are woken; the caller leads.",
    "layers.cpu.replay:run": "The loop behind it, compiled like any kernel: share a step, call it, wait.",
    "layers.cpu.activation:bind_relu": "A kernel says what it needs ...",
    "layers.cpu.activation:relu": "... and is a plain loop. This is the bottom.",
}


def thing(name: str) -> Callable:
    """'engine.net:Net.__call__' -> that function."""
    module, _, path = name.partition(":")
    package = __name__.split(".")[0]
    found: Any = import_module(f"{package}.{module}")
    return reduce(getattr, path.split("."), found)


def lines_of(name: str) -> list[str]:
    """The source of a function on the path, without its indentation."""
    return dedent("".join(inspect.getsourcelines(thing(name))[0])).splitlines()


def page() -> str:
    """reading.md."""
    total = sum(len(lines_of(name)) for name in PATH)
    parts = [
        "# The reading path",
        f"What happens in `y = net(x)`, front door to kernel: {len(PATH)} functions, {total} lines, in the order in "
        "which they run. This page is made from the source; nothing on the way is a callback or a metaclass.",
    ]
    read = 0
    for number, (name, why) in enumerate(PATH.items(), 1):
        source = lines_of(name)
        module, _, path = name.partition(":")
        parts += [
            f"## {number}. {path}",
            f"{why} `{module.replace('.', '/')}.py`, line {inspect.getsourcelines(thing(name))[1]}; "
            f"{read} of {total} lines read.",
            "```python\n" + "\n".join(source) + "\n```",
        ]
        read += len(source)
    parts += [
        "## Where to go on",
        "The [course](course/index.md) builds each of these by hand. `engine/places.py` is how tensors share memory, "
        "`layers/cpu/codegen.py` how a Python function becomes machine code, `layers/cpu/direct.py` what a convolution "
        "looks like when it is fast.",
    ]
    return "\n\n".join(parts) + "\n"
