"""check_device: try a device on every layer, in every dtype, against its reference."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from .case import Case, examples
from .check import THREADS, compare, net_of
from .compile import plan_as_written
from .device import Device, device_of
from .errors import CheckError, DeviceError, FbnetError
from .net import Net
from .part import together
from .plan import Plan
from .settings import tuned, waiting_for_all_threads

TRIVIAL = 8  # numbers that go into a layer: one pixel and one filter show little
TOGETHER = 256  # cases of a model, where compiling one takes long


@dataclass(frozen=True)
class LayerCheck:
    """A layer type in a dtype on a device, over all of its cases.

    kernel   which one computed it, several with commas; "host" is its reference on the host, "" no work at all, and
             "refused" that a device of compiled models takes none of its cases
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

    @property
    def refused(self) -> bool:
        """Whether nothing was compared, since the device takes no such layer."""
        return self.ok and self.kernel == "refused"

    def __str__(self) -> str:
        judged = f"{self.error:.1e}  ok" if self.ok else f"WRONG  {self.problem}"
        judged = "not computed" if self.refused else judged
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
    if device.path:
        raise DeviceError(f"{device.name} runs one model, compiled elsewhere: check that with `fbnet check`")
    device.target  # noqa: B018 (raises if it is not there)
    device.load_kernels()
    trials = [
        _Trial(case, dtype) for case in (all_cases() if cases is None else cases) for dtype in _dtypes(case)
    ]
    trials.sort(key=_Trial.row)
    size = TOGETHER if device.joins else 1
    tried = (
        result
        for start in range(0, len(trials), size)
        for result in _tried(trials[start : start + size], device)
    )
    for (layer, dtype), row in groupby(zip(trials, tried, strict=True), key=lambda pair: pair[0].row()):
        yield _layer_check(layer, dtype, [result for _, result in row])


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


@dataclass(frozen=True)
class _Trial:
    """A case in a dtype."""

    case: Case
    dtype: str

    def row(self) -> tuple[str, str]:
        return self.case.layer.type, self.dtype

    def net(self) -> tuple[Net, dict[str, np.ndarray]]:
        """The case's layer as a net, and what goes in."""
        net, fed = net_of(self.case.layer, self.case.arrays(), None)
        return (net.stored_as(self.dtype) if self.dtype == "fp16" else net), fed


@dataclass(frozen=True)
class _Result:
    """What came of a trial: which kernels computed it, the error, and what is wrong with it."""

    kernels: Sequence[str] = ()
    error: float = 0.0
    problem: str = ""


def _layer_check(layer: str, dtype: str, results: Sequence[_Result]) -> LayerCheck:
    kernels = list(dict.fromkeys(kernel for result in results for kernel in result.kernels))
    problem = next((result.problem for result in results if result.problem), "")
    return LayerCheck(
        layer, dtype, ", ".join(kernels), len(results), max(result.error for result in results), problem
    )


def _tried(trials: Sequence[_Trial], device: Device) -> list[_Result]:
    """What comes of each trial. If they are one model, and that is wrong as a whole, each is tried by itself."""
    with warnings.catch_warnings(), tuned(False):
        warnings.simplefilter(
            "ignore"
        )  # what runs on the host is in the table; an fp16 weight may be out of range
        try:
            return _run(trials, device)
        except Exception as failure:  # a new device may raise anything
            if len(trials) == 1:
                return [_Result(problem=str(failure) if isinstance(failure, FbnetError) else repr(failure))]
    return [result for trial in trials for result in _tried([trial], device)]


def _run(trials: Sequence[_Trial], device: Device) -> list[_Result]:
    """What comes of trials, all in one model. Raises whatever the device raises."""
    made = [trial.net() for trial in trials]
    refused = [device.compiled and bool(device.refuses(net.layers[0], net, net.specs())) for net, _ in made]
    taken = [number for number, no in enumerate(refused) if not no]
    results = [_Result(["refused"])] * len(trials)
    if not taken:
        return results
    nets = [made[number][0] for number in taken]
    marks = [f"{n}/" if device.joins else "" for n in range(len(nets))]
    whole = together(nets) if device.joins else nets[0]
    fed = {mark + k: v for mark, n in zip(marks, taken, strict=True) for k, v in made[n][1].items()}
    plan, got = _outputs(whole, fed, device)
    for mark, number in zip(marks, taken, strict=True):
        steps = [step for step in plan.steps if step.layer.startswith(mark)]
        names = ["host" if step.kernel == "reference" else _called(step.kernel) for step in steps]
        net, given = made[number]
        outputs = {name: got[mark + name] for name in net.outputs}
        results[number] = _result(trials[number], net, given, outputs, list(dict.fromkeys(names)))
    return results


def _called(kernel: str) -> str:
    """A kernel's own name; of a segment the device that it runs on."""
    first, *_, last = kernel.split("/")
    return first if last == "segment" else last


def _outputs(net: Net, fed: Mapping[str, np.ndarray], device: Device) -> tuple[Plan, dict[str, np.ndarray]]:
    """A plan of a net as it is written, and what comes out of it."""
    shapes = {name: array.shape for name, array in fed.items()}
    threads = THREADS[1] if device.host_threads else 1
    if device.compiled:
        plan = net.compile(device=device, threads=threads, shapes=shapes)
    else:
        plan = plan_as_written(net, device, "fp32", threads if device.has_kernels else 1, shapes)
    with waiting_for_all_threads(), plan.session() as session:
        return plan, session.run(fed)


def _result(
    trial: _Trial, net: Net, given: Mapping[str, np.ndarray], got: Mapping[str, np.ndarray], names: list[str]
) -> _Result:
    wanted, called = net.forward(**given), ", ".join(names)
    try:
        errors = [
            compare(trial.case.layer, called, THREADS[1], wanted[o], got[o], trial.case.tolerance)
            for o in got
        ]
    except CheckError as error:
        return _Result(names, problem=str(error))
    return _Result(names, max(errors))
