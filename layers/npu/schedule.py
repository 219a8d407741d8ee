"""schedule: let loads begin earlier, so that the bus works while the array does.

Two parts of the chip work at the same time, each on one command after the other: the bus (LOAD, LOADW, STORE) and
the array (CONV, POOL, ELTWISE, TABLE). A command waits until those before it that it has to do with are done. So a
load moves ahead of the commands before it that touch other bytes, but of no other load, and of at most AHEAD that
compute: what is done is the same in this order.
"""

from __future__ import annotations

from collections.abc import Sequence

from .commands import WORK, Load, Loadw
from .fields import Command
from .touch import touches

AHEAD = 2


def scheduled(commands: Sequence[Command], names: Sequence[str]) -> tuple[list[Command], list[str]]:
    """The commands with loads moved ahead, and whose they are."""
    found = [(command, name, touches(command)) for command, name in zip(commands, names, strict=True)]
    for at in range(len(found)):
        moving = found[at]
        if not isinstance(moving[0], (Load, Loadw)):
            continue
        place, passed = at, 0
        while place:
            before = found[place - 1]
            passed += isinstance(before[0], WORK)
            if isinstance(before[0], (Load, Loadw)) or passed > AHEAD:
                break
            if any(a.meets(b) for a in moving[2] for b in before[2]):
                break
            place -= 1
        found.insert(place, found.pop(at))
    return [command for command, _, _ in found], [name for _, name, _ in found]
