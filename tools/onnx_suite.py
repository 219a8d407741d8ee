"""The ONNX project's own backend suite: models with inputs and the outputs that they must give.

It comes with the package `onnx`. Its models of one operator feed everything as inputs, also what a network has as a
constant: the shape of a Reshape, the axes of a sum. A net here is a graph whose sizes are known before it runs, so a
case that cannot be converted with every input open is tried again with the later inputs given as constants.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.errors import ConversionError, FbnetError
from ..engine.format import read
from ..engine.lower import HostFallback
from ..engine.net import Net

if TYPE_CHECKING:
    import onnx

KINDS = ("node", "pytorch-converted", "pytorch-operator", "simple", "real")
OUTSIDE = {  # tensor types of ONNX that no dtype here has
    **dict.fromkeys((8,), "text"),
    **dict.fromkeys((14, 15), "complex numbers"),
    **dict.fromkeys((17, 18, 19, 20, 24), "8-bit floats"),
    **dict.fromkeys((21, 22, 23, 25, 26), "numbers of less than 8 bits"),
}

# Cases whose outputs we hold to be wrong, and why.
DISPUTED = {
    f"test_resize_downsample_scales_{method}_align_corners": (
        "the suite aligns the corners of an image of 2.4 or 3.2 pixels, which none is; we give onnxruntime's numbers"
    )
    for method in ("linear", "cubic")
}


@dataclass(frozen=True)
class Case:
    """A model and what it must compute: `sets` yields (inputs by name, outputs in order) once they are asked for."""

    kind: str
    name: str
    operator: str
    test: Any

    @property
    def model(self) -> onnx.ModelProto:
        import onnx

        return self.test.model if self.test.model is not None else onnx.load(self._path)

    @property
    def _path(self) -> Path:
        """Where the model lies. Of the real networks the suite has the graph, all of whose weights are one number."""
        import onnx

        if self.test.model_dir is not None:
            return Path(self.test.model_dir) / "model.onnx"
        return Path(onnx.__file__).parents[1] / self.test.url

    def sets(self, model: onnx.ModelProto) -> Iterator[tuple[list[Any], list[Any]]]:
        """The arrays that go in and those that must come out, in the model's order."""
        from onnx.backend.test.runner import Runner

        if self.test.data_sets is not None:
            yield from (
                ([_array(i) for i in ins], [_array(o) for o in outs]) for ins, outs in self.test.data_sets
            )
        elif self.test.model_dir is not None:
            for folder in sorted(self._path.parent.glob("test_data_set*")):
                yield _stored(folder, "input"), _stored(folder, "output")
        else:
            weights = {t.name for t in model.graph.initializer}
            given = [Runner.generate_dummy_data(i) for i in model.graph.input if i.name not in weights]
            yield given, _stored(self._path.parent, f"{self._path.stem}_output")


@dataclass(frozen=True)
class Verdict:
    """How a case went.

    why        '' if the outputs are right, else what is wrong
    constants  which inputs had to be constants: "" none, "later" all but the first, "all" every one, which is tried
               only where they are all sizes, as those of a Range are
    fallback   whether the device ran a layer by its reference
    """

    why: str
    constants: str = ""
    fallback: bool = False


@lru_cache
def cases(kinds: Sequence[str] = KINDS) -> dict[str, Case]:
    """Every case of these kinds by name. Raises ConversionError without `onnx`."""
    try:
        from onnx.backend.test.loader import load_model_tests
    except ImportError as error:
        raise ConversionError(
            f"the suite needs the onnx package: pip install fbnet[onnx] ({error})"
        ) from None
    found: dict[str, Case] = {}
    with warnings.catch_warnings(), np.errstate(all="ignore"):  # making the cases overflows here and there
        warnings.simplefilter("ignore")
        for kind in kinds:
            found |= {t.name: Case(kind, t.name, "", t) for t in load_model_tests(kind=kind)}
    return {name: Case(c.kind, name, _operator(c, found), c.test) for name, c in found.items()}


def _operator(case: Case, found: Mapping[str, Case]) -> str:
    """The operator that a case is about; of an operator spelt out in others, the operator."""
    base = found.get(re.sub(r"_expanded(_ver\d+)?$", "", case.name), case).test.model
    return base.graph.node[-1].op_type if base is not None else case.kind


def verdict(case: Case, device: str) -> Verdict:
    """Run a case on a device and hold it to the suite's outputs, at the suite's tolerance."""
    model = case.model
    if why := out_of_scope(model):
        return Verdict(why)
    found = Verdict("has no data")
    for constants in ("", "later", "all"):
        sets = [s for s in case.sets(model) if constants != "all" or all(map(_is_size, s[0]))]
        verdicts = [_run(case, model, s, constants, device) for s in sets]
        found = next((v for v in verdicts if v.why), verdicts[0]) if verdicts else found
        if not found.why:
            break
    return (
        Verdict(DISPUTED.get(case.name, found.why), found.constants, found.fallback) if found.why else found
    )


def out_of_scope(model: onnx.ModelProto) -> str:
    """Why this model is none that a network for inference could be, '' if it may be one."""
    domains = {n.domain for n in model.graph.node} - {"", "ai.onnx"}
    if domains:
        return f"operators of the domain {min(domains)}"
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            return f"values that are no tensors: {str(kind).removesuffix('_type')}"
        if value.type.tensor_type.elem_type in OUTSIDE:
            return f"tensors of {OUTSIDE[value.type.tensor_type.elem_type]}"
    return ""


def _run(
    case: Case, model: onnx.ModelProto, arrays: tuple[list[Any], list[Any]], constants: str, device: str
) -> Verdict:
    inputs, wanted = arrays
    weights = {t.name for t in model.graph.initializer}
    given = dict(zip((i.name for i in model.graph.input if i.name not in weights), inputs, strict=False))
    fixed = dict(list(given.items())[{"": len(given), "later": 1, "all": 0}[constants] :])
    shapes = {n: a.shape for n, a in given.items() if n not in fixed}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            net = _converted(_bound(model, fixed), shapes if constants else {})
            got = _outputs(net, {n: a for n, a in given.items() if n not in fixed}, device)
        except FbnetError as error:
            problems = getattr(error, "problems", ())
            text = re.sub(r"^[^ ]* \((\w+)\): ", r"\1: ", problems[0]) if problems else str(error)
            return Verdict(" ".join(text.split()))
    fallback = any(issubclass(w.category, HostFallback) for w in said)
    return Verdict(_difference(case, got, wanted), constants, fallback)


def _bound(model: onnx.ModelProto, fixed: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """The model with some of its inputs as constants."""
    from onnx import ModelProto, numpy_helper

    if not fixed:
        return model
    bound = ModelProto()
    bound.CopyFrom(model)
    listed = model.ir_version < 4  # when constants had to be inputs as well
    kept = [i for i in bound.graph.input if listed or i.name not in fixed]
    del bound.graph.input[:]
    bound.graph.input.extend(kept)
    bound.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in fixed.items())
    return bound


def _converted(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> Net:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return read(path, shapes=shapes) if shapes else read(path)


def _outputs(net: Net, inputs: Mapping[str, np.ndarray], device: str) -> list[np.ndarray]:
    plan = net.compile(device=device, threads=1, shapes={n: inputs[n].shape for n in net.inputs})
    with plan.session() as session:
        found = session.run({n: inputs[n] for n in net.inputs})
    return [found[o] for o in net.outputs]


def _difference(case: Case, got: list[np.ndarray], wanted: list[np.ndarray]) -> str:
    """'' if the outputs are equal within the suite's tolerance.

    Every floating-point type is fp32 here: what is narrower we make of our result, and what is wider becomes fp32.
    """
    from onnx.backend.test.runner import Runner

    with np.errstate(all="ignore"):  # beyond fp32 a double is infinite
        judges = [w.astype(np.float32) if getattr(w, "dtype", None) == np.float64 else w for w in wanted]
        same = [
            g.astype(w.dtype) if _is_float(w) and _is_float(g) else g
            for g, w in zip(got, judges, strict=False)
        ]
    try:
        Runner.assert_similar_outputs(judges, [*same, *got[len(same) :]], case.test.rtol, case.test.atol)
    except AssertionError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return " ".join(["wrong:", *lines])[:200]
    return ""


def _is_size(array: np.ndarray) -> bool:
    """Whether an input may be a shape, or a number: nothing that a network would be fed."""
    return array.ndim == 0 or (array.ndim == 1 and array.dtype.kind in "iu")


def _is_float(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" or array.dtype.name == "bfloat16"


def _array(value: Any) -> Any:
    from onnx import TensorProto, numpy_helper

    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def _stored(folder: Path, what: str) -> list[np.ndarray]:
    from onnx import load_tensor, numpy_helper

    count = len(list(folder.glob(f"{what}_*.pb")))
    return [numpy_helper.to_array(load_tensor(folder / f"{what}_{i}.pb")) for i in range(count)]
