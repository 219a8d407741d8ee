"""samples: what a user calls calibration data, as batches that a net can run.

A net that prepares images itself is calibrated behind that: `body` is the net without its first layers, whose shapes
follow an image's size, and each sample goes through those layers once.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..arguments import as_input
from ..errors import InputError, NetError
from ..lower import HostFallback
from ..net import Net
from ..part import pieces
from ..plan import Plan
from ..progress import listening, report

Arrays = dict[str, np.ndarray]

BATCH_BYTES = 64 << 20  # of the inputs and outputs of one run
FEW = 8  # with fewer samples than this, what is rare has not been seen


def body_index(net: Net) -> int:
    """Which of the net's pieces is quantized: the one with the most multiply-adds."""
    found = pieces(net)
    return max(range(len(found)), key=lambda i: net_macs(found[i]))


def net_macs(net: Net) -> int:
    """Multiply-adds of a run at the usual shapes."""
    specs = net.specs()
    return sum(int(layer.macs(*(specs.get(i) for i in layer.inputs))) for layer in net.layers)


def plan_for(net: Net, inputs: Mapping[str, np.ndarray], threads: int | None = None) -> Plan:
    """A plan for these inputs, for the cpu, whose kernels are not measured. What has none runs by its reference."""
    with (
        warnings.catch_warnings(),
        listening(lambda *_: None),
    ):  # a stage's bar does not show each plan's layers
        warnings.simplefilter("ignore", HostFallback)
        shapes = {name: array.shape for name, array in inputs.items()}
        return net.compile("cpu", threads=threads, shapes=shapes, tune=False)


def run(net: Net, inputs: Mapping[str, np.ndarray]) -> Arrays:
    """The net's outputs."""
    plan = plan_for(net, inputs)
    session = plan.idle.pop() if plan.idle else plan.session()
    outputs = session.run(inputs)
    plan.idle.append(session)
    return outputs


def checked_samples(net: Net, samples: Any) -> list[Arrays]:
    """Every sample as arrays by input name, with a batch axis. Raises InputError for what cannot calibrate this net.

    samples  arrays, or dicts of them for several inputs; with or without a batch axis; or one array with all of them
    """
    if samples is None:
        raise InputError(f"{net.name}: there is nothing to calibrate with: give some tens of typical samples")
    given = [samples] if isinstance(samples, (np.ndarray, Mapping)) else list(samples)
    found = []
    for number, sample in enumerate(given):
        named = sample if isinstance(sample, Mapping) else _named(net, sample)
        if named.keys() != set(net.inputs):
            needs = ", ".join(net.inputs)
            raise InputError(f"{net.name}: sample {number} has {', '.join(named)} but the inputs are {needs}")
        arrays = {}
        for name, spec in net.inputs.items():
            array = np.asarray(named[name])
            arrays[name] = as_input(name, spec, array[None] if array.ndim == spec.ndim - 1 else array)
            if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all():
                raise InputError(f"{net.name}: sample {number} holds NaN or infinity in {name!r}")
        found.append(arrays)
    if not found or not all(array.size for sample in found for array in sample.values()):
        raise InputError(f"{net.name}: there is nothing to calibrate with: give some tens of typical samples")
    for name in net.inputs:
        low = min(s[name].min() for s in found)
        if low == max(s[name].max() for s in found):
            raise InputError(
                f"{net.name}: every calibration sample is {low} all over in {name!r}: ranges cannot be known from "
                "that; give samples of what the net is for"
            )
    return found


def _named(net: Net, sample: Any) -> Arrays:
    if len(net.inputs) != 1:
        raise InputError(f"{net.name} has the inputs {', '.join(net.inputs)}: give a dict for each sample")
    return {next(iter(net.inputs)): np.asarray(sample)}


def body_samples(net: Net, samples: Sequence[Arrays]) -> list[Arrays]:
    """The samples as the body's inputs, after the layers before it."""
    before = pieces(net)[: body_index(net)]
    wanted = pieces(net)[body_index(net)].inputs
    found = []
    for number, sample in enumerate(samples):
        report("preparing samples", number, len(samples))
        tensors = dict(sample)
        for piece in before:
            tensors |= piece.forward(
                **{name: tensors[name] for name in piece.inputs}
            )  # a plan for each size is slow
        found.append({name: tensors[name] for name in wanted})
    return found


def batches(samples: Sequence[Arrays], most: int = 16) -> Iterator[Arrays]:
    """Samples of one shape side by side, at most `most` in a batch."""
    waiting: list[Arrays] = []
    for sample in samples:
        if waiting and (_shapes(sample) != _shapes(waiting[0]) or len(waiting) >= most):
            yield _joined(waiting)
            waiting = []
        waiting.append(sample)
    if waiting:
        yield _joined(waiting)


def _shapes(sample: Arrays) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in sample.items()}


def _joined(samples: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([s[name] for s in samples]) for name in samples[0]}


def batch_size(net: Net, sample: Arrays, tensors: Iterable[str]) -> int:
    """How many samples may be run at once so that these tensors stay within BATCH_BYTES."""
    specs = net.specs({name: array.shape for name, array in sample.items()})
    nbytes = sum(specs[name].concrete.nbytes for name in tensors)
    return int(np.clip(BATCH_BYTES // max(1, nbytes), 1, 16))


def check_constants(net: Net) -> None:
    """Raises NetError if a weight is no number."""
    for name, constant in net.constants.items():
        data = constant.data
        if data is not None and data.dtype.kind == "f" and not np.isfinite(data).all():
            readers = ", ".join(str(layer) for layer in net.layers if name in layer.inputs)
            raise NetError(
                f"{net.name}: the constant {name!r} of {readers} holds NaN or infinity: it cannot be int8"
            )
