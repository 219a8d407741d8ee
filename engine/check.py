"""check_layer: try a layer on every device, with every kernel, against its reference. check_device: try a device on
every layer, in every dtype."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .case import Case, examples
from .compile import plan_as_written
from .device import Device, device_of, devices
from .errors import CheckError, DeviceError, FbnetError
from .kernel import candidates
from .layer import Elementwise, Layer
from .lower import HostFallback, call_of
from .net import Net
from .settings import waiting_for_all_threads

AWKWARD = ((1,), (7,), (13, 127), (0, 3), (3, 5, 7, 1), (2, 16, 8, 9))  # shapes that loops get wrong
THREADS = (1, 2, 3)
TRIVIAL = 8  # numbers that go into a layer: one pixel and one filter show little


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
    net, fed = _net_of(layer, arrays, constants)
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
                _compare(layer, kernel, threads, wanted[o], g[o], tolerance)
                for g in (got, again)
                for o in got
            )
            sizes = tuple(a.shape for a in arrays if a is not None)
            checks.append(Check(device.name, "fp32", threads, kernel, sizes, error))
    return checks


def _net_of(
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


def _compare(
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


@dataclass(frozen=True)
class LayerCheck:
    """A layer type in a dtype on a device, over all of its cases.

    kernel   which one computed it, several with commas; "host" is its reference on the host, "" no work at all, and
             "refused" that a device of compiled models does not take it
    error    the largest difference, as a share of the largest number of the reference
    problem  '' if all cases hold, else what is wrong with the first that does not
    """

    layer: str
    dtype: str
    kernel: str
    cases: int
    error: float
    problem: str = ""

    @property
    def ok(self) -> bool:
        return not self.problem

    def __str__(self) -> str:
        judged = f"{self.error:.1e}  ok" if self.ok else f"WRONG  {self.problem}"
        return f"{self.layer:<24} {self.dtype:<7} {self.kernel:<40} {judged}"


def check_device(name: str | Device, cases: Iterable[Case] | None = None) -> list[LayerCheck]:
    """Run every layer type on a device, in fp32, with weights in fp16, and in int8, against its `reference`.

    cases  by default all that there are in `examples`; smallest(...) of them are a quick look

    Each case runs by the kernel that the device would choose for it; what it has none for runs on the host, which is
    right as well. Returns a row a layer and dtype. Raises CheckError that names every row that is wrong, DeviceError
    if the device is not there, or runs nothing but a model that was compiled elsewhere.
    """
    rows = list(device_checks(name, cases))
    wrong = [f"{row.layer} in {row.dtype}: {row.problem}" for row in rows if not row.ok]
    if wrong:
        called = name if isinstance(name, str) else name.name
        raise CheckError(f"{called}: {len(wrong)} of {len(rows)} layers are wrong: {'; '.join(wrong)}")
    return rows


def device_checks(name: str | Device, cases: Iterable[Case] | None = None) -> Iterator[LayerCheck]:
    """The rows of check_device, one after the other, wrong ones too."""
    device = device_of(name)
    if device.compiled and type(device).refuses is Device.refuses:
        raise DeviceError(f"{device.name} runs one model, compiled elsewhere: check that with `fbnet check`")
    device.load_kernels()
    grouped: dict[tuple[str, str], list[Case]] = {}
    for case in all_cases() if cases is None else cases:
        for dtype in _dtypes(case):
            grouped.setdefault((case.layer.type, dtype), []).append(case)
    for (layer, dtype), its in sorted(grouped.items()):
        yield _layer_check(layer, dtype, its, device)


def all_cases() -> list[Case]:
    """Those of everybody who has registered some."""
    return [case for name in examples for case in examples[name]()]


def smallest(cases: Iterable[Case]) -> list[Case]:
    """Of each layer type and first input's dtype, the case with the fewest numbers but the trivial."""
    best: dict[tuple, Case] = {}
    for case in sorted(cases, key=lambda c: (c.numbers < TRIVIAL, c.numbers)):
        best.setdefault((case.layer.type, case.dtypes.get(0)), case)
    return list(best.values())


def _dtypes(case: Case) -> list[str]:
    """In what a case is to be tried: its own dtype, and fp16 if it has weights that can be stored so."""
    constant = case.specs[1:] if not case.layer.variadic else []
    weights = [s for s in constant if s is not None and s.dtype.name == "fp32"]
    own = sorted({*case.dtypes.values()} | {s.dtype.name for s in case.results()})
    if "int8" in own:
        return ["int8"]
    first = case.dtypes.get(0, "fp32")
    return [first, "fp16"] if weights and first == "fp32" and not case.exact else [first]


def _layer_check(layer: str, dtype: str, cases: Sequence[Case], device: Device) -> LayerCheck:
    kernels: list[str] = []
    errors, problem = [0.0], ""
    for case in cases:
        try:
            used, error = _tried(case, dtype, device)
        except Exception as failure:  # a new device may raise anything
            problem = problem or (str(failure) if isinstance(failure, FbnetError) else repr(failure))
            continue
        kernels += [k for k in used if k not in kernels]
        errors.append(error)
    return LayerCheck(layer, dtype, ", ".join(kernels), len(cases), max(errors), problem)


def _tried(case: Case, dtype: str, device: Device) -> tuple[list[str], float]:
    """(kernels, error) of a case. Raises CheckError if it is too large, and whatever the device raises."""
    net, fed = _net_of(case.layer, case.arrays(), None)
    net = net.stored_as(dtype) if dtype == "fp16" else net
    shapes = {name: array.shape for name, array in fed.items()}
    threads = THREADS[1] if device.has_kernels and device.host_threads else 1
    if device.compiled and device.refuses(net.layers[0], net, net.specs(shapes)):
        return ["refused"], 0.0
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # what runs on the host is in the table; an fp16 weight may be out of range
        if device.compiled:
            plan = net.compile(device=device, shapes=shapes)
        else:
            plan = plan_as_written(net, device, "fp32", threads, shapes)
        with waiting_for_all_threads(), plan.session() as session:
            got = session.run(fed)
    names = ["host" if s.entry < 0 else s.kernel.split("/")[-1] for s in plan.steps]
    used, wanted = list(dict.fromkeys(names)), net.forward(**fed)
    kernel = ", ".join(used)
    return used, max(_compare(case.layer, kernel, threads, wanted[o], got[o], case.tolerance) for o in got)
