"""Nets on an NVIDIA GPU: fbnet beside PyTorch, the same weights, the same numbers; and sessions side by side.

    python bench/gpu.py > bench/GPU.md        needs a GPU, fbnet[cuda,onnx], torch and torchvision

Times are medians of 50 forwards with a synchronisation each, milliseconds. PyTorch's input lies on the GPU and its
output stays there; "fbnet" copies the input in and the output out through pinned memory, "kernels" is its graph alone.
Weights are random (torch.manual_seed(0)), normalisation is not the identity. Errors are the largest difference from
`reference` (batch 1) or PyTorch on the CPU, as a share of the largest number.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import date
from statistics import median
from typing import Any

import fbnet
import numpy as np
import torch
import torchvision
from fbnet.engine.device import devices

NETS = ("squeezenet1_1", "mobilenet_v2", "resnet50")
BATCHES = (1, 16)
SESSIONS = (1, 2, 4, 8)
FORWARDS = 500


def models() -> Iterator[tuple[str, Any, fbnet.Net]]:
    """(name, module, net) of each; the net is the module's ONNX export."""
    torch.manual_seed(0)
    for name in NETS:
        module = getattr(torchvision.models, name)(weights=None).eval()
        for part in module.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 1.5)
                part.weight.data.uniform_(0.5, 1.5)
                part.bias.data.normal_(0, 0.1)
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = os.path.join(folder, f"{name}.onnx")
            torch.onnx.export(
                module, (torch.randn(1, 3, 224, 224),), path, dynamo=False, opset_version=17,
                input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "N"}, "y": {0: "N"}},
            )  # fmt: skip
            yield name, module, fbnet.convert(path)


def milliseconds(work: Callable[[], Any], rounds: int = 50) -> float:
    for _ in range(5):
        work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * median(times)


def torch_times(module: Any, x: np.ndarray) -> Iterator[float]:
    """Eager in fp32, eager in TF32 (11 bits), compiled in fp32 with CUDA graphs."""
    given, module = torch.from_numpy(x).cuda(), module.cuda()
    torch.backends.cudnn.benchmark = True

    def timed(run: Callable) -> float:
        def work() -> None:
            with torch.inference_mode():
                run(given)
            torch.cuda.synchronize()

        return milliseconds(work)

    for tf32 in (False, True):
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
        yield timed(module)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch._dynamo.reset()
    yield timed(torch.compile(module, mode="reduce-overhead"))
    module.cpu()


def table(rows: list[list[str]]) -> None:
    for i, row in enumerate(rows):
        print("| " + " | ".join(row) + " |")
        if i == 0:
            print("|" + " --- |" * len(row))
    print(flush=True)


def main() -> None:
    random, cuda = np.random.default_rng(0), devices["cuda"]
    print(f"# On {torch.cuda.get_device_name()}\n")
    print(f"{date.today()}, fbnet {fbnet.__version__}, torch {torch.__version__}; made by `bench/gpu.py`.\n")
    print("\n".join(line.strip() for line in (__doc__ or "").split("\n\n")[2].splitlines()) + "\n")
    rows = [["net", "batch", "fbnet", "kernels", "eager fp32", "eager TF32", "compiled fp32", "error"]]
    kept = {}
    for name, module, net in models():
        kept[name] = net
        for batch in BATCHES:
            x = random.standard_normal((batch, 3, 224, 224), np.float32)
            with net.compile(device="cuda", shapes={"x": x.shape}).session() as session:
                y = session.run({"x": x})["y"]
                if batch == 1:
                    wanted = net.forward(x=x)["y"]
                else:
                    with torch.inference_mode():
                        wanted = module(torch.from_numpy(x)).numpy()
                error = np.abs(y - wanted).max() / np.abs(wanted).max()
                times = [milliseconds(session.forward), 1e3 * cuda.time_forward(session._handle, 30)]
                slowest = sorted(
                    zip(cuda.time_steps(session._handle, 5), session.plan.steps, strict=True),
                    key=lambda s: -s[0],
                )
                for seconds, step in slowest[:8]:
                    print(
                        f"{name} {batch}: {1e6 * seconds:.1f} us {step.kernel} {step.layer}", file=sys.stderr
                    )
            times += torch_times(module, x)
            rows.append([name, str(batch), *[f"{t:.3f}" for t in times], f"{error:.0e}"])
            print(*rows[-1], file=sys.stderr, flush=True)
    table(rows)
    print(
        "Sessions of one plan at once, each in a thread of its own, batch 1: forwards a second of all of them.\n"
    )
    torch.cuda.empty_cache()
    rows = [["net", *[f"{count} session{'s' * (count > 1)}" for count in SESSIONS], "2 against 1"]]
    for name in NETS[:2]:
        x = random.standard_normal((1, 3, 224, 224), np.float32)
        plan = kept[name].compile(device="cuda", shapes={"x": x.shape})
        rates = [throughput(plan, x, count) for count in SESSIONS]
        rows.append([name, *[f"{rate:.0f}" for rate in rates], f"{rates[1] / rates[0]:.2f}"])
    table(rows)


def throughput(plan: fbnet.Plan, x: np.ndarray, count: int) -> float:
    """Forwards a second of so many sessions, all at once."""
    sessions = [plan.session() for _ in range(count)]
    for session in sessions:
        session.run({"x": x})

    def work(session: fbnet.Session) -> None:
        for _ in range(FORWARDS):
            session.forward()

    threads = [threading.Thread(target=work, args=(session,)) for session in sessions]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = FORWARDS * count / (time.perf_counter() - start)
    for session in sessions:
        session.close()
    return rate


if __name__ == "__main__":
    main()
