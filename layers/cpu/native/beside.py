"""beside: what lies beside a library for whoever uses it: headers, and how CMake and pkg-config find them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ....engine.plan import Plan
from .platforms import Platform

if TYPE_CHECKING:
    from .library import Wishes

CMAKE = """# find_package({name} CONFIG REQUIRED PATHS <this folder>), then target_link_libraries(program {name})
find_package(Threads REQUIRED)
add_library({name} {kind} IMPORTED)
set_target_properties({name} PROPERTIES
  IMPORTED_LOCATION "${{CMAKE_CURRENT_LIST_DIR}}/{library}"
  INTERFACE_INCLUDE_DIRECTORIES "${{CMAKE_CURRENT_LIST_DIR}}"
  INTERFACE_LINK_LIBRARIES "Threads::Threads;m")
"""

PKG_CONFIG = """prefix=${{pcfiledir}}
Name: {name}
Description: a network compiled by fbnet for {platform}
Version: 1
Cflags: -I${{prefix}}
Libs: {libs}
Libs.private: -lpthread -lm
"""


def write(
    folder: Path,
    library: str,
    plans: Sequence[Plan],
    platform: Platform,
    wishes: Wishes,
    calls: Sequence[str],
) -> list[str]:
    """Write them into the folder of the library; returns their names."""
    name = wishes.name
    headers = ["nn.h", *(["nn_load.h"] if wishes.kind == "shared" and not platform.wasm else [])]
    for header in headers:
        shutil.copy(Path(__file__).parent / header, folder)
    (folder / f"{name}.h").write_text(_header(plans, platform, wishes, calls))
    if platform.wasm and wishes.kind == "shared":
        return [f"{name}.h", *headers]  # nobody links to a module
    kind = wishes.kind.upper()
    (folder / f"{name}-config.cmake").write_text(CMAKE.format(name=name, kind=kind, library=library))
    static = wishes.kind == "static"
    libs = f"${{prefix}}/{library} -lpthread -lm" if static else f"-L${{prefix}} -l{name}"
    (folder / f"{name}.pc").write_text(PKG_CONFIG.format(name=name, platform=platform, libs=libs))
    return [f"{name}.h", *headers, f"{name}-config.cmake", f"{name}.pc"]


def _header(plans: Sequence[Plan], platform: Platform, wishes: Wishes, calls: Sequence[str]) -> str:
    """NAME.h: the tensors of this net; and its own names of the calls, if they have a prefix."""
    guard = re.sub(r"\W", "_", f"{wishes.name}_H".upper())
    net = plans[0].net
    rows = []
    for plan in plans:
        given = ", ".join(f"{n} {plan.tensors[n][1]}" for n in net.inputs)
        made = ", ".join(f"{n} {plan.tensors[n][1]}" for n in net.outputs)
        rows.append(f" *     {given} -> {made}\n")
    about = f"{net.name}: compiled by fbnet for {platform.processor}\n *\n{''.join(rows)}"
    text = f'/* {about.replace("*/", "* /")} */\n#ifndef {guard}\n#define {guard}\n#include "nn.h"\n'
    if wishes.prefix:
        declared = (Path(__file__).parent / "nn.h").read_text()
        prototypes = re.findall(r"^(?:int|const char \*)\s*NN_\w+\(.*?\);", declared, re.M | re.S)
        own = "\n".join(re.sub(r"NN_(\w+)\(", rf"{wishes.prefix}NN_\1(", p, count=1) for p in prototypes)
        text += f'#ifdef __cplusplus\nextern "C" {{\n#endif\n{own}\n#ifdef __cplusplus\n}}\n#endif\n'
    return text + "#endif\n"
