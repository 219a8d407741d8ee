"""Every network of the zoo in int8: how many numbers of its int8 tensors differ between `reference` and cpu.

    python bench/bits.py [NAME ...]

Calibrated on noise, as bits do not depend on what is accurate. Where a layer in fp32 lies between integer layers, both
get what it gives by `reference`: fp32 has other last digits on each device. Prints a table of docs/quantization.md.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping

import fbnet
import numpy as np
from fbnet.engine.dtype import dtype_of
from fbnet.engine.net import Net
from fbnet.engine.tensor import Dim, Spec
from fbnet.formats.ends import without_image_input
from fbnet.tools.catalogue import ENTRIES
from fbnet.tools.demo import LENET
from fbnet.tools.export import fixed
from fbnet.tools.model import convert_with
from fbnet.tools.zoo import fetched

SAMPLES = 8
LARGEST_SIDE = 224  # of an image that may have any size
THREADS = (1, 2)


def body(name: str) -> Net:
    """A network without what prepares its images, for inputs of one size."""
    if name == "lenet":
        net = fbnet.load(LENET / "lenet.fbnet")
    else:
        entry = next(e for e in ENTRIES if e.name == name)
        net = convert_with([fetched(name) / file for file in entry.model], **entry.options)
    net = without_image_input(net)
    return fixed(net, {key: tuple(map(_size, spec.shape)) for key, spec in net.inputs.items()})


def _size(size: int) -> int:
    """A size that is given, or a usual one, within limits."""
    return min(int(size), LARGEST_SIDE) if isinstance(size, Dim) else int(size)


def row(name: str, rng: np.random.Generator) -> str:
    """A line of the table."""
    net = body(name)
    samples = [
        {key: (50 * rng.standard_normal(s.shape)).astype(s.dtype.storage) for key, s in net.inputs.items()}
        for _ in range(SAMPLES)
    ]
    small = net.quantize(samples, "minmax", equalise=False, bias=False, adaptive=False)
    specs = small.specs()
    tensors = [o for layer in small.layers for o in layer.outputs if specs[o].dtype.name == "int8"]
    given = samples[0] | _between(small, samples[0])
    shown = small.replace(
        layers=[layer for layer in small.layers if not set(layer.outputs) & given.keys()],
        inputs={key: Spec(array.shape, dtype_of(array)) for key, array in given.items()},
        outputs=tensors,
    )
    wanted = shown.forward(**given)
    differing = []
    for threads in THREADS:
        with shown.compile(threads=threads).session() as session:
            found = session.run(given)
        differing.append(sum(int((found[key] != wanted[key]).sum()) for key in tensors))
    count = sum(array.size for array in wanted.values())
    layers = sum(any(o in wanted for o in layer.outputs) for layer in small.layers)
    return f"| {name} | {layers} of {len(small)} | {count:,} | " + " | ".join(map(str, differing)) + " |"


def _between(net: Net, sample: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What layers in fp32 give to integer layers, by `reference`: those are no matter of integers."""
    real = {layer.inputs[0] for layer in net.layers if layer.type == "Quantize"} - net.inputs.keys()
    return dict(net.replace(outputs=sorted(real)).forward(**sample)) if real else {}


def main() -> None:
    warnings.simplefilter("ignore")
    names = sys.argv[1:] or ["lenet", *(e.name for e in ENTRIES if e.model)]
    columns = [
        "network",
        "int8 layers",
        "int8 numbers",
        *(f"differ on {t} thread{'s' * (t > 1)}" for t in THREADS),
    ]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for name in names:
        try:
            print(row(name, np.random.default_rng(0)), flush=True)
        except fbnet.FbnetError as error:
            print(f"| {name} | {type(error).__name__}: {str(error)[:160]} |", flush=True)


if __name__ == "__main__":
    main()
