"""The two sides of a comparison: a model on a device of ours, or in another engine.

m.fbnet, deploy.prototxt+weights.caffemodel      our net, on the cpu
reference:m.fbnet                                on another device
onnxruntime:m.onnx                               the source's own engine, running the file itself
openvino:m.fbnet                                 a peer, by way of ONNX; it shows outputs only
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..engine.device import devices
from ..engine.errors import ConversionError, InputError, did_you_mean
from ..engine.net import Net
from ..formats.ends import without_image_input
from . import peers
from .export import fixed
from .model import Runner, open_model
from .race import model_for_peers
from .sources import SOURCES, judged

Arrays = Mapping[str, np.ndarray]


@dataclass
class Side:
    """A model and who runs it: `engine` is a device, a framework, or a peer; `label` how the user called it.

    net   the model as we import it: names and shapes of its tensors
    own   the engine reads the files itself
    said  the engine's version, once it has run
    """

    label: str
    engine: str
    paths: tuple[Path, ...]
    net: Net
    threads: int | None = None
    own: bool = False
    said: str = ""

    def run(self, inputs: Arrays, tensors: Sequence[str]) -> dict[str, np.ndarray]:
        """The outputs and those of `tensors` that can be seen. Raises FbnetError."""
        outputs = list(self.net.outputs)
        inner = [name for name in tensors if name not in outputs]
        if self.engine in devices:
            found = self._ours(self.net, inputs)
            if inner:  # apart, since a tensor that is looked at is not fused away
                found |= self._ours(self.net.replace(outputs=inner), inputs)
            return found
        if self.own:
            engine = SOURCES[self.engine]
            self.said, found = judged(engine, self.paths, self.net, inputs, [*outputs, *inner])
            return found
        return self._peer(inputs)

    def _ours(self, net: Net, inputs: Arrays) -> dict[str, np.ndarray]:
        with Runner(net, self.engine, self.threads) as runner:
            return runner.rest(runner.first(inputs))

    def _peer(self, inputs: Arrays) -> dict[str, np.ndarray]:
        shapes = {name: array.shape for name, array in inputs.items()}
        shaped = fixed(self.net, shapes)
        specs = shaped.specs()
        outputs = {name: tuple(map(int, specs[name].shape)) for name in shaped.outputs}
        with tempfile.TemporaryDirectory(prefix="fbnet-compare-") as folder:
            model = model_for_peers(self.net, shaped, outputs, Path(folder))
            version, run = peers.load(self.engine, model, self.threads or 1, Path(folder))
            self.said = f"{self.engine} {version}"
            try:
                return dict(run(inputs))
            except Exception as error:  # whatever another engine throws
                text = " ".join(str(error).split())[:300]
                raise ConversionError(f"{self.said} cannot run {self.label}: {text}") from None


def side(text: str, device: str, threads: int | None) -> Side:
    """The side that `[ENGINE:]PATH[+PATH]` names. Raises InputError, and what the importer raises."""
    prefix, colon, rest = text.partition(":")
    known = [*devices, *SOURCES, *peers.peers]
    engine = prefix if colon and prefix in known else device
    places = tuple(Path(part) for part in (rest if engine == prefix and colon else text).split("+"))
    if colon and engine != prefix and not any(Path(part).exists() for part in text.split("+")):
        names = ", ".join(sorted({*known}))
        raise InputError(f"there is no engine {prefix!r}.{did_you_mean(prefix, known)} There are: {names}")
    if engine not in known:
        devices[engine]  # raises, with the closest name
    net, source = open_model(places), SOURCES.get(engine)
    if engine in devices:
        return Side(text, engine, places, net, threads)
    own = bool(source and {path.suffix.lower() for path in places} & set(source.suffixes))
    if source and not own and engine not in peers.peers:
        raise InputError(f"{text}: {engine} runs {' and '.join(source.suffixes)} files, not {places[0].name}")
    return Side(text, engine, places, without_image_input(net), threads, own)
