"""check_layer: try a layer on every device, with every kernel, against its reference."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .compile import plan_as_written
from .device import Device, devices
from .errors import CheckError
from .kernel import candidates
from .layer import Elementwise, Layer
from .lower import HostFallback, call_of
from .net import Net
from .settings import waiting_for_all_threads

AWKWARD = ((1,), (7,), (13, 127), (0, 3), (3, 5, 7, 1), (2, 16, 8, 9))  # shapes that loops get wrong
THREADS = (1, 2, 3)


@dataclass(frozen=True)
class Check:
    """One comparison that held: the largest difference, as a share of the largest number of the reference."""

    device: str
    dtype: str
    threads: int
    kernel: str
    shapes: tuple[tuple[int, ...], ...]
    error: float

    def __str__(self) -> str:
        shapes = ", ".join(str(list(s)) for s in self.shapes)
        return f"{self.kernel} on {self.device}, {self.dtype}, {self.threads} threads, {shapes}: {self.error:.1e}"


def check_layer(
    layer: Layer,
    *inputs: np.ndarray | None,
    tolerance: float = 1e-5,
    device_names: Sequence[str] = (),
    constants: Sequence[str] | None = None,
) -> list[Check]:
    """Run a layer on every device that is there, by every kernel that serves it, on 1, 2 and 3 threads, against
    its `reference`.

    inputs     arrays; None for an optional input left out. An Elementwise layer is tried on awkward shapes
               of its own if there are none
    tolerance  largest difference allowed, as a share of the reference's largest number
    constants  inputs that are constants, by their name in `reference`; by default all but the first,
               and none of a layer that takes any number

    Returns what was compared. Raises CheckError at the first result that is wrong, with the kernel and the place.
    """
    trials: list[Sequence[np.ndarray | None]] = [inputs]
    if not inputs and isinstance(layer, Elementwise):
        rng = np.random.default_rng(0)
        trials = [(rng.standard_normal(shape).astype(np.float32) * 3,) for shape in AWKWARD]
    return [
        check
        for trial in trials
        for name in device_names or [n for n in devices if devices[n].available() and not devices[n].compiled]
        for check in _on_device(layer, trial, devices[name], tolerance, constants)
    ]


def _on_device(
    layer: Layer,
    arrays: Sequence[np.ndarray | None],
    device: Device,
    tolerance: float,
    constants: Sequence[str] | None,
) -> list[Check]:
    net, fed = net_of(layer, arrays, constants)
    wanted = net.forward(**fed)
    device.load_kernels()
    shapes = {name: array.shape for name, array in fed.items()}
    call = call_of(net.layers[0], net, net.specs(shapes), 1, device)
    serving = [k.name for k in candidates(layer, device.name, "fp32") if not k.refuses(call)]
    checks = []
    for kernel in serving if device.has_kernels and serving else ["reference"]:
        for threads in THREADS if device.has_kernels and device.host_threads else THREADS[:1]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", HostFallback)
                plan = plan_as_written(
                    net, device, "fp32", threads, shapes, "" if kernel == "reference" else kernel
                )
            with waiting_for_all_threads(), plan.session() as session:
                got = session.run(fed)
                again = session.run(fed)  # a kernel may leave something behind that spoils the next run
            error = max(
                compare(layer, kernel, threads, wanted[o], g[o], tolerance) for g in (got, again) for o in got
            )
            sizes = tuple(a.shape for a in arrays if a is not None)
            checks.append(Check(device.name, "fp32", threads, kernel, sizes, error))
    return checks


def net_of(
    layer: Layer, arrays: Sequence[np.ndarray | None], constants: Sequence[str] | None
) -> tuple[Net, dict[str, np.ndarray]]:
    """A net of this one layer, and the arrays that go in from outside."""
    names = layer.replace(inputs=["?"] * len(arrays)).input_names()
    if constants is None:
        constants = () if layer.variadic else names[1:]
    fed = {n: a for n, a in zip(names, arrays, strict=True) if a is not None and n not in constants}
    wiring = [None if a is None else a if n in constants else n for n, a in zip(names, arrays, strict=True)]
    outputs = layer.outputs or layer.results
    one = layer.replace(name="layer", inputs=wiring, outputs=tuple(f"out {o}" for o in outputs))
    return Net([one], {n: _spec_of(a) for n, a in fed.items()}), fed


def _spec_of(array: np.ndarray):
    from .dtype import dtype_of
    from .tensor import Spec

    return Spec(array.shape, dtype_of(array))


def compare(
    layer: Layer, kernel: str, threads: int, wanted: np.ndarray, got: np.ndarray, tolerance: float
) -> float:
    """The largest relative difference; infinities and NaNs must be equal. Raises CheckError."""
    if wanted.shape != got.shape:
        raise CheckError(
            f"{layer} by {kernel}: result has shape {list(got.shape)}, wanted {list(wanted.shape)}"
        )
    if wanted.size == 0:
        return 0.0
    finite = np.isfinite(wanted)
    other = ~finite & (wanted != got) & ~(np.isnan(wanted) & np.isnan(got))
    same = not other.any()
    scale = float(np.abs(wanted[finite]).max(initial=0)) or 1.0
    difference = np.where(finite, np.abs(got.astype(np.float64) - np.where(finite, wanted, 0)), 0) / scale
    worst = np.unravel_index(np.argmax(difference), wanted.shape)
    error = float(difference[worst])
    if not same or not error <= tolerance:
        place = [int(i) for i in (worst if same else np.argwhere(other)[0])]
        raise CheckError(
            f"{layer} by {kernel} on {threads} threads: at {place} got {got[tuple(place)]!r}, "
            f"wanted {wanted[tuple(place)]!r} (error {error:.1e}, tolerance {tolerance:.0e})"
        )
    return error
