"""compile: Net -> Plan, found in memory or on disk if it was made before.

The road: rewrite -> specs for the shapes at hand -> lower -> record. What a plan depends on is its key: the net's
content, shapes, device, dtype, threads, target, and the sources that decide what a plan looks like.
"""

from __future__ import annotations

import hashlib
import mmap
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import RLock

from .cache import Cache
from .custom import refuse_placeholders
from .device import Device, device_of, devices
from .dtype import dtypes
from .errors import FbnetError, FileError, InputError, ShapeError
from .kernel import kernels
from .layer import layers
from .lower import MAX_WORKSPACE, LoweredNet, lower, warn_of_fallback
from .net import Net
from .plan import Plan
from .record import record
from .rewrite import apply, rewrites
from .rounds import in_rounds
from .settings import debug_level, default_threads, tuning
from .share import Shares
from .source import fingerprint, package_digest, text_of_module
from .tensor import Spec
from .tune import Tuner

PLANS_PER_NET = 8  # the least recently used is forgotten: memory must not grow with the shapes that come by

_on_disk = Cache("plans", ".fbplan")


class _Kept:
    """The plans of one net that are kept in memory. It hangs on the net, so that they go when the net goes."""

    def __init__(self) -> None:
        self.lock = RLock()  # a net's own: nobody waits while another net is compiled
        self.plans: OrderedDict[str, Plan] = OrderedDict()

    @staticmethod
    def of(net: Net) -> _Kept:
        return vars(net).setdefault("_kept", _Kept())


@dataclass(frozen=True)
class How:
    """What a caller may wish of a plan: see compile_net."""

    dtype: str  # of arithmetic on real numbers
    threads: int
    tune: bool
    max_workspace: int
    compact: bool = False
    in_rounds: bool = True


def compile_net(
    net: Net,
    device: str | Device = "cpu",
    dtype: str = "fp32",
    threads: int | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    *,
    tune: bool | None = None,
    max_workspace: int = MAX_WORKSPACE,
    compact: bool = False,
    in_rounds: bool = True,
) -> Plan:
    """The plan of a net for a device, dtype, number of threads and input shapes (default: its usual ones).

    dtype          what weights are stored in: "fp32", or "fp16" (half the memory, arithmetic in fp32); a net in int8
                   is made by net.quantize
    tune           measure which kernels are the fastest, instead of going by their scores; default: the setting
    max_workspace  bytes of working memory that a step may take, where another kernel takes less
    compact        keep no weights transformed, which are larger than they were: less memory, for more time
    in_rounds      compute a batch of large images a few at a time, where the device is faster so

    Raises RegistryError, ShapeError, InputError, CompileError.
    """
    chosen = device_of(device)
    if dtype != "fp32":
        net = _stored_as(net, dtype)
    threads = default_threads() if threads is None else threads
    if threads < 1:
        raise InputError(f"a plan needs at least one thread, but got {threads}")
    full = {name: tuple(map(int, spec.shape)) for name, spec in net.inputs.items()}
    for name, shape in (shapes or {}).items():
        if name not in full:
            raise InputError(f"{net.name} has no input {name!r}; it has {', '.join(full)}")
        full[name] = tuple(map(int, shape))
        if len(full[name]) != net.inputs[name].ndim:
            raise ShapeError(
                f"input {name!r} is {net.inputs[name]}, but was asked for in shape {list(full[name])}"
            )
    how = How("fp32", threads, tuning() if tune is None else tune, max_workspace, compact, in_rounds)
    quick = repr((chosen.name, how, full, chosen.target))
    kept = _Kept.of(net)
    with kept.lock:
        if quick in kept.plans:
            kept.plans.move_to_end(quick)
            return kept.plans[quick]
        plan = _found_or_made(net, chosen, how, full)
        kept.plans[quick] = plan
        while len(kept.plans) > PLANS_PER_NET:
            kept.plans.popitem(last=False)[1].rest()
    if debug_level() >= 1:
        print(plan, file=sys.stderr)
    return plan


def _stored_as(net: Net, dtype: str) -> Net:
    """The net with its weights in another dtype; made once, so that its plans are kept on it."""
    stored = vars(net).setdefault("_stored", {})
    if dtype not in stored:
        stored[dtype] = net.stored_as(dtype)
    return stored[dtype]


def trim(net: Net) -> None:
    """Forget the plans of a net that are kept in memory."""
    kept = _Kept.of(net)
    with kept.lock:
        while kept.plans:
            kept.plans.popitem()[1].rest()


def plan_key(net: Net, device: Device, how: How, shapes: Mapping[str, Sequence[int]]) -> str:
    """32 hex digits that name everything a plan depends on."""
    parts = [net.digest, repr(sorted(shapes.items())), device.name, repr(how), device.target]
    parts += [package_digest(), *_foreign_sources()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _found_or_made(net: Net, device: Device, how: How, shapes: Mapping[str, Sequence[int]]) -> Plan:
    if not device.has_kernels:
        return _made(net, device, how, shapes, "")
    key = plan_key(net, device, how, shapes)
    plan = _embedded(net, key) or _stored(net, key)
    if plan is None:
        with _on_disk.locked(key):  # another process may be making it at this moment
            plan = _stored(net, key)
            if plan is None:
                plan = _made(net, device, how, shapes, key)
                _on_disk.put(key, plan.chunks())
                return plan
    if any(step.entry < 0 for step in plan.steps):  # they name layers of the rewritten net
        plan = plan_replace(plan, net=apply(net.computed))
        for step in plan.steps:
            if step.entry < 0:
                warn_of_fallback(plan.net[step.layer], plan.notes[step.layer])
    return plan


def _made(net: Net, device: Device, how: How, shapes: Mapping[str, Sequence[int]], key: str) -> Plan:
    if device.compiled:
        return device.whole_plan(net, how.dtype, how.threads, net.specs(shapes))
    device.load_kernels()
    refuse_placeholders(net.layers)
    net.specs(shapes)  # first the net as written, so that errors name its own layers
    lean = apply(net.computed) if device.has_kernels else net.computed
    divided = in_rounds(lean, lean.specs(shapes)) if how.in_rounds and device.rounds else None
    if divided is not None:
        specs = divided.specs(shapes)
        lowered = _lowered(divided, device, how, shapes, specs)
        end, _ = lowered.rounds
        if all(item.kernel or item.alias for item in lowered.items[:end]):
            return _of(net, record(divided, device, how.dtype, how.threads, specs, lowered), key)
    specs = lean.specs(shapes)  # what the host computes in between, it computes for all images
    lowered = _lowered(lean, device, how, shapes, specs)
    return _of(net, record(lean, device, how.dtype, how.threads, specs, lowered), key)


def _lowered(
    net: Net, device: Device, how: How, shapes: Mapping[str, Sequence[int]], specs: Mapping[str, Spec]
) -> LoweredNet:
    shares = Shares(net, device, specs, how.threads, generous=False)
    single = _single(net, shapes, specs)
    one = single, Shares(net, device, single, how.threads, generous=False)
    fastest = Tuner(net, device, how.dtype, single).fastest if how.tune else None
    return lower(
        net,
        device,
        how.dtype,
        specs,
        shares,
        one=one,
        fastest=fastest,
        max_workspace=how.max_workspace,
        compact=how.compact,
    )


def _single(net: Net, shapes: Mapping[str, Sequence[int]], specs: Mapping[str, Spec]) -> Mapping[str, Spec]:
    """The specs for a batch of one; those given where the inputs are no batch, or the net takes no other."""
    images = {name for name, shape in shapes.items() if len(shape) > 1}
    if len({shapes[name][0] for name in images}) != 1:
        return specs
    try:
        return net.specs({name: (1, *s[1:]) if name in images else s for name, s in shapes.items()})
    except FbnetError:
        return specs


def plan_as_written(
    net: Net,
    device: Device,
    dtype: str,
    threads: int,
    shapes: Mapping[str, Sequence[int]],
    only: str = "",
) -> Plan:
    """A new plan of the net, not rewritten, not looked up and not kept; with one kernel `only`, if named.

    Every layer is shared by all threads, however small it is.
    """
    device.load_kernels()
    net = net.computed
    specs = net.specs(shapes)
    shares = Shares(net, device, specs, threads, generous=True)
    return record(net, device, dtype, threads, specs, lower(net, device, dtype, specs, shares, only))


def _of(net: Net, plan: Plan, key: str) -> Plan:
    """The plan with `net` itself in the place of its rewritten form, which nobody outside needs to see.

    Constants and layers that the rewriting made are not in `net`: constants become the plan's own, and a plan
    with reference steps keeps the rewritten net.
    """
    if any(step.entry < 0 for step in plan.steps):
        return plan_replace(plan, key=key)
    constants = [
        plan.constant(i) if isinstance(c, str) and not _same(c, plan.net, net) else c
        for i, c in enumerate(plan.constants)
    ]
    return plan_replace(plan, net=net, constants=constants, key=key)


def _same(name: str, a: Net, b: Net) -> bool:
    return name in b.constants and a.constants[name] is b.constants[name]


def plan_replace(plan: Plan, **changes: object) -> Plan:
    """A copy of the plan with some fields changed."""
    fields = {name: getattr(plan, name) for name in plan.__dataclass_fields__ if name != "idle"}
    return Plan(**(fields | changes))


def _stored(net: Net, key: str) -> Plan | None:
    """The plan for `key` from the disk cache, mapped; None if it is not there or damaged."""
    path = _on_disk.find(key)
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return Plan.read(net, memoryview(mapped))
    except (OSError, ValueError, FileError):
        return None


def _embedded(net: Net, key: str) -> Plan | None:
    """The plan for `key` that came with the net's own file, if its reader was told to trust it."""
    blob = net.plans.get(key)
    try:
        return Plan.read(net, blob) if blob is not None else None
    except FileError:  # a plan can always be made again
        return None


def _foreign_sources() -> list[str]:
    """The text of every module outside this package that has registered something that plans depend on."""
    package = __name__.split(".")[0] + "."
    owners = set().union(*(registry.owners() for registry in (layers, kernels, rewrites, dtypes, devices)))
    foreign = [kernels[name].function for name in kernels]
    values = [fingerprint(f) for f in foreign if not f.__module__.startswith(package)]
    return sorted([*values, *(text_of_module(owner) for owner in owners if not owner.startswith(package))])
