"""Everything there is to know of a GPU, by one command: is it right, and how fast is it.

    python bench/gpu.py                     all parts; each replaces its own in bench/GPU.md
    python bench/gpu.py check bits          some of them: a loan of a GPU may be short
    NUMBA_ENABLE_CUDASIM=1 FBNET_CXX=g++ python bench/gpu.py --dry        tiny, on the simulator; prints, writes nothing

Needs fbnet[cuda,onnx], torch and torchvision; onnxruntime-gpu and fbnet[opencl] if they are there. NVIDIA's driver
brings an OpenCL; where nobody did, `echo libnvidia-opencl.so.1 > /etc/OpenCL/vendors/nvidia.icd` says so. No network. A
part that fails is told as a line, and the next one goes on; steps and their times go to stderr.

    check      check_device: every layer type in fp32, with weights in fp16 and in int8, beside its reference
    bits       whole nets: int8 bit by bit, fp32 and fp16 by their largest difference, beside the cpu device
    speed      beside PyTorch, eager and compiled, and onnxruntime
    sessions   several of one plan at once, each in a thread of its own

Times are medians of 50 forwards with a synchronisation each, in milliseconds. PyTorch's input lies on the GPU and its
output stays there, and so with onnxruntime; "fbnet" copies the input in and the output out through pinned memory,
"kernels", "fp16 weights" and "int8" are its graph alone. Weights are random (torch.manual_seed(0)), normalisation is
not the identity.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import fbnet
import numpy as np
import torch
from devices import integers  # beside this file
from fbnet.engine.check_device import LayerCheck, all_cases, device_checks, smallest
from fbnet.engine.device import devices
from fbnet.engine.net import Net
from fbnet.engine.steps import relative_error

HERE = Path(__file__).parent
NETS = ("squeezenet1_1", "mobilenet_v2", "resnet50")
BATCHES = (1, 16)
SESSIONS = (1, 2, 4, 8)
SIDE, TINY = 224, 12  # of an image; in a dry run


class Run:
    """What is measured, and on what: the real thing, or tiny nets on the simulator."""

    def __init__(self, dry: bool):
        self.dry = dry
        self.side = TINY if dry else SIDE
        self.batches = (1, 2) if dry else BATCHES
        self.rounds, self.forwards = (1, 1) if dry else (50, 500)
        self.folder = tempfile.TemporaryDirectory()
        self._made: dict[str, tuple[Any, Net, str]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return ("tiny",) if self.dry else NETS

    @property
    def targets(self) -> list[str]:
        """The devices: cuda, and opencl if it is a GPU's, or whatever there is in a dry run."""
        found = [name for name in ("cuda", "opencl") if devices[name].available()]
        if "opencl" in found and not self.dry:
            from fbnet.layers.opencl.chip import chip

            return found if chip().rank == 0 else ["cuda"]
        return found

    def model(self, name: str) -> tuple[Any, Net, str]:
        """(module, net, path of the ONNX file)."""
        if name not in self._made:
            self._made[name] = self._export(name, module_of(name))
        return self._made[name]

    def _export(self, name: str, module: Any) -> tuple[Any, Net, str]:
        path = os.path.join(self.folder.name, f"{name}.onnx")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module, (torch.randn(1, 3, self.side, self.side),), path, dynamo=False, opset_version=17,
                input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "N"}, "y": {0: "N"}},
            )  # fmt: skip
        return module, fbnet.convert(path), path

    def integers(self, name: str) -> Net:
        """The net in int8, by ranges of noise: bits and times do not depend on what is accurate."""
        net = self.model(name)[1]
        return integers(net.replace(inputs={"x": (net.inputs["x"].shape[0], 3, self.side, self.side)}))

    def input(self, batch: int = 1) -> np.ndarray:
        return np.random.default_rng(batch).standard_normal((batch, 3, self.side, self.side), np.float32)

    def milliseconds(self, work: Callable[[], Any]) -> float:
        for _ in range(min(5, self.rounds)):
            work()
        times = []
        for _ in range(self.rounds):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return 1e3 * median(times)


def module_of(name: str) -> Any:
    """One of torchvision's, or a tiny one, with weights and statistics that are not the identity."""
    torch.manual_seed(0)
    if name == "tiny":
        layers = [
            torch.nn.Conv2d(3, 8, 3, 2, 1),
            torch.nn.BatchNorm2d(8),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, 9, 1),
        ]
        module = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    else:
        import torchvision

        module = getattr(torchvision.models, name)(weights=None).eval()
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.normal_(0, 0.1)
    return module


# -- the parts: each gives the lines of its section --------------------------------------------------------


def check(run: Run) -> Iterator[str]:
    """Every layer type by itself"""
    yield from table_head("device", "fp32", "fp16 weights", "int8", "by the host")
    wrong: list[str] = []
    for name in run.targets:
        cases = smallest(all_cases())[:40] if run.dry else None
        found = list(device_checks(name, cases))
        wrong += [f"- {name}: {c}" for c in found if not c.ok]
        yield row(name, *(passed(found, dtype) for dtype in ("fp32", "fp16", "int8")), str(hosted(found)))
    yield ""
    yield from wrong or ["All of them within their dtype's bound; int8 to the bit."]


def passed(found: list[LayerCheck], dtype: str) -> str:
    mine = [c for c in found if c.dtype == dtype]
    return f"{sum(c.ok for c in mine)} of {len(mine)}"


def hosted(found: list[LayerCheck]) -> int:
    """Layer types that no kernel of the device served."""
    return len({c.layer for c in found if c.kernel == "host"})


def bits(run: Run) -> Iterator[str]:
    """Whole nets beside the cpu device"""
    yield from table_head("net", "device", "fp32", "fp16 weights", "int8: numbers that differ", "on the host")
    for name in run.names:
        net, x = run.model(name)[1], run.input()
        nets = {"fp32": net, "fp16": net, "int8": run.integers(name)}
        for device in run.targets:
            cells, host = [], 0
            for dtype, each in nets.items():
                got, steps = outputs(each, device, dtype, x)
                wanted, _ = outputs(each, "cpu", dtype, x)
                host += sum(step.entry < 0 for step in steps)
                if dtype == "int8":
                    differ = sum(int((got[o] != wanted[o]).sum()) for o in wanted)
                    cells.append(f"{differ} of {sum(w.size for w in wanted.values()):,}")
                else:
                    cells.append(f"{max(relative_error(got[o], wanted[o]) for o in wanted):.0e}")
            yield row(name, device, *cells, str(host))


def outputs(net: Net, device: str, dtype: str, x: np.ndarray) -> tuple[dict[str, np.ndarray], list]:
    """(outputs, steps) of a net with these weights."""
    (name,) = net.inputs
    plan = net.compile(device=device, dtype="fp16" if dtype == "fp16" else "fp32", shapes={name: x.shape})
    with plan.session() as session:
        return session.run({name: x}), plan.steps


def speed(run: Run) -> Iterator[str]:
    """Milliseconds of a forward"""
    yield from table_head(
        "net", "batch", "fbnet fp32", "kernels", "fp16 weights", "int8", "opencl fp32", "eager fp32", "eager TF32",
        "eager fp16", "compiled fp32", "onnxruntime",
    )  # fmt: skip
    for name in run.names:
        module, net, path = run.model(name)
        for batch in run.batches:
            x = run.input(batch)
            cells = [timed(run, net, "cuda", "fp32", x), timed(run, net, "cuda", "fp32", x, alone=True)]
            cells.append(timed(run, net, "cuda", "fp16", x, alone=True))
            whole = run.integers(name).replace(outputs=net.outputs)
            cells.append(timed(run, whole, "cuda", "int8", x, alone=True))
            cells.append(timed(run, net, "opencl", "fp32", x) if "opencl" in run.targets else "")
            yield row(name, str(batch), *cells, *torch_times(run, module, x), onnxruntime_time(run, path, x))


def timed(run: Run, net: Net, device: str, dtype: str, x: np.ndarray, alone: bool = False) -> str:
    """Of a forward; or of its kernels alone, whose slowest steps are told."""
    (name,) = net.inputs
    plan = net.compile(device=device, dtype="fp16" if dtype == "fp16" else "fp32", shapes={name: x.shape})
    with plan.session() as session:
        session.run({name: x})
        if not alone:
            return f"{run.milliseconds(session.forward):.3f}"
        cuda, handle = devices["cuda"], session._handle
        steps = zip(cuda.time_steps(handle, 5 if not run.dry else 1), plan.steps, strict=True)
        for seconds, step in sorted(steps, key=lambda s: -s[0])[:8]:
            print(
                f"{dtype} {list(x.shape)}: {1e6 * seconds:.1f} us {step.kernel} {step.layer}", file=sys.stderr
            )
        return f"{1e3 * cuda.time_forward(handle, 30 if not run.dry else 1):.3f}"


def torch_times(run: Run, module: Any, x: np.ndarray) -> list[str]:
    """Eager in fp32, in TF32 (11 bits) and in fp16, and compiled in fp32 with CUDA graphs."""
    if not torch.cuda.is_available():
        return [""] * 4
    given, module = torch.from_numpy(x).cuda(), module.cuda()
    torch.backends.cudnn.benchmark = True

    def timed(work: Callable, given: Any) -> str:
        def once() -> None:
            with torch.inference_mode():
                work(given)
            torch.cuda.synchronize()

        return f"{run.milliseconds(once):.3f}"

    cells = []
    for tf32 in (False, True):
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
        cells.append(timed(module, given))
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    cells.append(timed(module.half(), given.half()))
    module.float()
    torch._dynamo.reset()
    cells.append(timed(torch.compile(module, mode="reduce-overhead"), given))
    module.cpu()
    return cells


def onnxruntime_time(run: Run, path: str, x: np.ndarray) -> str:
    """By its CUDA provider, '' if that is not there."""
    try:
        import onnxruntime as ort
    except ImportError:
        return ""
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        return ""
    session = ort.InferenceSession(path, providers=["CUDAExecutionProvider"])
    bound = session.io_binding()
    bound.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(x, "cuda", 0))
    bound.bind_output("y", "cuda")

    def once() -> None:
        session.run_with_iobinding(bound)
        bound.synchronize_outputs()

    return f"{run.milliseconds(once):.3f}"


def sessions(run: Run) -> Iterator[str]:
    """Forwards a second of several sessions of one plan, batch 1"""
    counts = SESSIONS[:2] if run.dry else SESSIONS
    yield from table_head("net", *(f"{n} session{'s' * (n > 1)}" for n in counts), "2 against 1")
    for name in run.names[:2]:
        x = run.input()
        plan = run.model(name)[1].compile(device="cuda", shapes={"x": x.shape})
        rates = [throughput(plan, x, count, run.forwards) for count in counts]
        yield row(name, *(f"{rate:.0f}" for rate in rates), f"{rates[1] / rates[0]:.2f}")


def throughput(plan: fbnet.Plan, x: np.ndarray, count: int, forwards: int) -> float:
    """Forwards a second of so many sessions, all at once. Raises CheckError if one's numbers are another's."""
    given = [x * (1 + i) for i in range(count)]
    with plan.session() as alone:
        wanted = [alone.run({"x": each})["y"] for each in given]
    running = [plan.session() for _ in range(count)]
    for session, each in zip(running, given, strict=True):
        session.run({"x": each})

    def work(session: fbnet.Session) -> None:
        for _ in range(forwards):
            session.forward()

    threads = [threading.Thread(target=work, args=(session,)) for session in running]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = forwards * count / (time.perf_counter() - start)
    for session, each in zip(running, wanted, strict=True):
        if not np.array_equal(session.get_tensor("y"), each):
            raise fbnet.CheckError("sessions side by side disturb each other")
        session.close()
    return rate


# -- the page ----------------------------------------------------------------------------------------------


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def table_head(*names: str) -> list[str]:
    return [row(*names), "|" + " --- |" * len(names)]


PARTS = {"check": check, "bits": bits, "speed": speed, "sessions": sessions}


def section(part: str, run: Run) -> str:
    """A part's heading and lines; what went wrong is one of them."""
    lines = [
        f"## {PARTS[part].__doc__}",
        "",
        f"{date.today()}, fbnet {fbnet.__version__}, torch {torch.__version__}.",
        "",
    ]
    try:
        for line in PARTS[part](run):
            print(line, flush=True)
            lines.append(line)
    except Exception as error:  # a GPU is rarely at hand: what the other parts say must not be lost
        traceback.print_exc()
        lines += ["", f"It failed: {type(error).__name__}: {error}"]
        print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"


def with_section(page: str, new: str) -> str:
    """The page, with the section of that heading replaced, or at its end."""
    heading = new.split("\n", 1)[0]
    pieces = re.split(r"(?m)^(?=## )", page)
    if not any(piece.startswith(heading + "\n") for piece in pieces):
        return page.rstrip() + "\n\n" + new
    return "".join(
        new + "\n" * (piece is not pieces[-1]) if piece.startswith(heading + "\n") else piece
        for piece in pieces
    )


def head() -> str:
    """The page's first lines."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else devices["cuda"].target
    told = (__doc__ or "").split("\n\n")[-1].strip()
    return f"# On {gpu}\n\nMade by `bench/gpu.py`. {told}\n\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS))
    parser.add_argument("--dry", action="store_true", help="tiny, and nothing is written")
    parser.add_argument("--out", type=Path, default=HERE / "GPU.md")
    options = parser.parse_args()
    run = Run(options.dry)
    page = options.out.read_text() if options.out.exists() else ""
    if not page.startswith(head().split("\n")[0] + "\n"):  # another GPU's
        page = head()
    for part in options.parts:
        print(f"## {part}", flush=True)
        page = with_section(page, section(part, run))
        if not options.dry:
            options.out.write_text(page)  # after each: a loan may end


if __name__ == "__main__":
    main()
