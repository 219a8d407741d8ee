"""What an operator is in other operators: a model's own functions, ONNX's definitions, and If, Loop and Scan where it
is known beforehand what they do.

ONNX defines many operators by a body of simpler ones: for some as it stands in the schema, for others made for a node
and the types of its inputs. An operator without a layer, or with attributes that its layer does not know, is
replaced by that body. So are the branch of an If whose condition is constant, and the rounds of a Loop or a Scan whose
number is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...engine.tensor import Dim
from ..graph import Graph
from ..value import Node, Unsupported, Value
from .file import array_of, attributes_of

if TYPE_CHECKING:
    import onnx

ONNX = ("", "ai.onnx")
MOST_ROUNDS = 4096  # of a Loop
MOST_NODES = (
    1 << 16
)  # that bodies may add to a model altogether: a few lines can stand for more than memory holds


def node_of(proto: onnx.NodeProto, opset: int, folder: Path) -> Node:
    """A NodeProto as a Node."""
    domain = "" if proto.domain in ONNX else f"{proto.domain}."
    named = proto.name or next(filter(None, proto.output), proto.op_type)
    attributes = attributes_of(proto, folder)
    inputs, outputs = tuple(proto.input), tuple(proto.output)
    return Node(domain + proto.op_type, named, inputs, outputs, attributes, opset, proto)


def names_read(proto: onnx.NodeProto) -> set[str]:
    """Every tensor that a node reads, those that its sub-graphs read from around them too."""
    found = set(proto.input) - {""}
    for graph in _graphs(proto):
        inside = {t.name for t in graph.initializer} | {i.name for i in graph.input}
        read = set[str]().union(*map(names_read, graph.node)) | {o.name for o in graph.output}
        found |= read - inside - {o for n in graph.node for o in n.output}
    return found


class Functions:
    """The bodies of a model's operators."""

    def __init__(self, model: onnx.ModelProto, folder: Path):
        self.folder = folder
        self.own = {(f.domain, f.name): f for f in model.functions}
        self.left = MOST_NODES

    def body(self, g: Graph, node: Node, values: Sequence[Value | None]) -> list[Node] | None:
        """The nodes that compute what `node` does, or None if there are none. Raises Unsupported."""
        if node.type == "If":
            return self._branch(g, node, values)
        if node.type == "Loop":
            return self._rounds(g, node, values)
        if node.type == "Scan" and node.opset >= 9:  # before, it went over a batch as well
            return self._scan(g, node, values)
        return self._function(g, node, values)

    # -- functions -----------------------------------------------------------------------------------------

    def _function(self, g: Graph, node: Node, values: Sequence[Value | None]) -> list[Node] | None:
        proto = node.source
        function = self.own.get((proto.domain, proto.op_type)) or _schema_body(node, values)
        if function is None:
            return None
        opset = next((o.version for o in function.opset_import if o.domain in ONNX), node.opset)
        given = {a.name: a for a in proto.attribute}
        given = {a.name: a for a in function.attribute_proto} | given
        inputs = [*proto.input, *[""] * len(function.input)]
        names = dict(zip(function.input, inputs, strict=False))
        return self._inlined(g, node, function.node, function.output, names, given, opset)

    def _inlined(
        self,
        g: Graph,
        node: Node,
        body: Sequence[onnx.NodeProto],
        results: Sequence[str],
        names: dict[str, str],
        given: Mapping[str, onnx.AttributeProto],
        opset: int,
    ) -> list[Node]:
        """A body under names of its own, where `names` does not say otherwise; its results under the node's names."""
        self.left -= len(body)
        if self.left < 0:
            raise Unsupported(f"its body makes more than {MOST_NODES} nodes of this model: refused")
        written = {o for n in body for o in n.output}
        passed_on = []
        for result, output in zip(results, node.outputs, strict=False):
            if result in written and result not in names:
                names[result] = output or g.fresh(f"{node.name}/{result}")
            elif output:
                passed_on.append((result, output))
        names |= {o: g.fresh(f"{node.name}/{o}") for o in written if o and o not in names}
        made = [node_of(_renamed(n, names, given), opset, self.folder) for n in body]
        return made + [_identity(node, names.get(r, r), output) for r, output in passed_on]

    # -- control -------------------------------------------------------------------------------------------

    def _branch(self, g: Graph, node: Node, values: Sequence[Value | None]) -> list[Node]:
        assert values[0] is not None
        chosen = bool(g.numbers(values[0], "its condition").item())
        graph = node.get("then_branch" if chosen else "else_branch")
        names = self._constants(g, node, graph)
        return self._inlined(g, node, graph.node, [o.name for o in graph.output], names, {}, node.opset)

    def _rounds(self, g: Graph, node: Node, values: Sequence[Value | None]) -> list[Node]:
        """Every round of a Loop after the other. Its condition must stay as it was."""
        count, condition, *_ = [*values, None, None]
        graph = node.get("body")
        if count is None:
            raise Unsupported("its number of rounds is not given: it depends on what is computed")
        rounds = int(g.numbers(count, "its number of rounds").item())
        if condition is not None and not g.numbers(condition, "its condition").all():
            rounds = 0
        self._check_rounds(rounds)
        if not _goes_on(graph):
            raise Unsupported("its condition is computed in each round")
        carried = list(node.inputs[2:])
        scans = len(graph.output) - 1 - len(carried)
        kept: list[list[str]] = [[] for _ in range(scans)]
        made: list[Node] = []
        for number in range(rounds):
            names = self._constants(g, node, graph)
            first = [self._known(g, node, np.array(number, np.int64)), self._known(g, node, np.array(True))]
            results = self._results(g, node, graph)
            made += self._round(g, node, graph, names, [*first, *carried], results)
            carried = results[1 : 1 + len(carried)]
            for column, result in zip(kept, results[1 + len(carried) :], strict=True):
                column.append(result)
        for source, output in zip(carried, node.outputs, strict=False):
            made += [_identity(node, source, output)] if output else []
        for column, output in zip(kept, node.outputs[len(carried) :], strict=False):
            made += self._stacked(g, node, column, output) if output else []
        return made

    def _check_rounds(self, rounds: int) -> None:
        if rounds > MOST_ROUNDS:
            raise Unsupported(f"goes {rounds} rounds, more than {MOST_ROUNDS}")

    def _results(self, g: Graph, node: Node, graph: onnx.GraphProto) -> list[str]:
        """New names for what a round computes."""
        return [g.fresh(f"{node.name}/{o.name}") for o in graph.output]

    def _round(
        self,
        g: Graph,
        node: Node,
        graph: onnx.GraphProto,
        names: dict[str, str],
        given: list[str],
        results: list[str],
    ) -> list[Node]:
        """The nodes of one round that reads `given` and computes `results`."""
        names |= dict(zip([i.name for i in graph.input], given, strict=True))
        inner = Node(node.type, node.name, node.inputs, tuple(results), {}, node.opset, node.source)
        return self._inlined(g, inner, graph.node, [o.name for o in graph.output], names, {}, node.opset)

    def _scan(self, g: Graph, node: Node, values: Sequence[Value | None]) -> list[Node]:
        """Every round of a Scan after the other: its states, and what it reads of each sequence in that round."""
        graph, count = node.get("body"), node.get("num_scan_inputs")
        carried, sequences = list(node.inputs[:-count]), values[len(node.inputs) - count :]
        yields = len(graph.output) - len(carried)
        axes = node.get("scan_input_axes", [0] * count)
        backwards = node.get("scan_input_directions", [0] * count)
        sizes = {v.shape[axis] for v, axis in zip(sequences, axes, strict=True) if v is not None}
        if len(sizes) != 1 or any(isinstance(size, Dim) for size in sizes):
            raise Unsupported(f"goes over {', '.join(map(str, sizes))} rounds: one number must be known")
        rounds = int(sizes.pop())
        self._check_rounds(rounds)
        kept: list[list[str]] = [[] for _ in range(yields)]
        made: list[Node] = []
        for number in range(rounds):
            names, slices = self._constants(g, node, graph), []
            for sequence, axis, back in zip(node.inputs[-count:], axes, backwards, strict=True):
                place = self._known(g, node, np.array(rounds - 1 - number if back else number, np.int64))
                name = g.fresh(f"{sequence}/{number}")
                made.append(
                    Node("Gather", name, (sequence, place), (name,), {"axis": axis}, node.opset, node.source)
                )
                slices.append(name)
            made += self._round(
                g, node, graph, names, [*carried, *slices], results := self._results(g, node, graph)
            )
            carried = results[: len(carried)]
            for column, result in zip(kept, results[len(carried) :], strict=True):
                column.append(result)
        made += [_identity(node, c, o) for c, o in zip(carried, node.outputs, strict=False) if o]
        axes = node.get("scan_output_axes", [0] * yields)
        backwards = node.get("scan_output_directions", [0] * yields)
        for column, output, axis, back in zip(
            kept, node.outputs[len(carried) :], axes, backwards, strict=False
        ):
            made += self._stacked(g, node, column[::-1] if back else column, output, axis) if output else []
        return made

    def _stacked(self, g: Graph, node: Node, column: Sequence[str], output: str, axis: int = 0) -> list[Node]:
        """What every round yields, one after the other along a new axis."""
        if not column:
            raise Unsupported("goes no round, so that nothing is known of what each would yield")
        axes = self._known(g, node, np.array([axis], np.int64))
        turned = [g.fresh(f"{name}/row") for name in column]
        inputs = ([axes], {}) if node.opset >= 13 else ([], {"axes": [axis]})
        rows = [
            Node("Unsqueeze", row, (name, *inputs[0]), (row,), inputs[1], node.opset, node.source)
            for name, row in zip(column, turned, strict=True)
        ]
        joined = Node("Concat", output, tuple(turned), (output,), {"axis": axis}, node.opset, node.source)
        return [*rows, joined]

    def _constants(self, g: Graph, node: Node, graph: onnx.GraphProto) -> dict[str, str]:
        """The constants of a sub-graph, as Values under new names; its names for them -> the new ones."""
        names = {t.name: g.fresh(f"{node.name}/{t.name}") for t in graph.initializer}
        for tensor in graph.initializer:
            array = array_of(tensor, self.folder)
            g.values[names[tensor.name]] = Value.of(names[tensor.name], array)
        return names

    def _known(self, g: Graph, node: Node, array: np.ndarray) -> str:
        """The name of a constant made here."""
        name = g.fresh(f"{node.name}/constant")
        g.values[name] = Value.of(name, array)
        return name


def _identity(node: Node, source: str, output: str) -> Node:
    return Node("Identity", output, (source,), (output,), {}, node.opset, node.source)


def _goes_on(graph: onnx.GraphProto) -> bool:
    """True if a Loop's body hands its condition on as it is, or makes it true."""
    from onnx import numpy_helper

    same = {graph.input[1].name}
    for tensor in graph.initializer:
        if numpy_helper.to_array(tensor).dtype == np.bool_ and numpy_helper.to_array(tensor).all():
            same.add(tensor.name)
    for n in graph.node:
        if n.op_type == "Identity" and n.input[0] in same:
            same.add(n.output[0])
        value = (
            next((a.t for a in n.attribute if a.name == "value"), None) if n.op_type == "Constant" else None
        )
        if value is not None and numpy_helper.to_array(value).all():
            same.add(n.output[0])
    return graph.output[0].name in same


def _schema_body(node: Node, values: Sequence[Value | None]) -> onnx.FunctionProto | None:
    """ONNX's own definition of an operator by others, for this node; None if it has none."""
    from onnx import FunctionProto, defs

    proto = node.source
    try:
        schema: Any = defs.get_schema(proto.op_type, node.opset, "" if proto.domain in ONNX else proto.domain)
    except defs.SchemaError:
        return None
    body = FunctionProto()
    if schema.has_function:
        version = _newest(schema.function_opset_versions, node.opset)
        body.ParseFromString(schema.get_function_with_opset_version(version))
    elif schema.has_context_dependent_function:
        version = _newest(schema.context_dependent_function_opset_versions, node.opset)
        types = [_type(value).SerializeToString() for value in values]
        made = schema.get_context_dependent_function_with_opset_version(
            version, proto.SerializeToString(), types
        )
        if not made:
            return None
        body.ParseFromString(made)
    else:
        return None
    known = {a.name for a in body.attribute_proto}
    for name, attribute in schema.attributes.items():  # what the node leaves out, the body reads by reference
        if name not in known and attribute.default_value.name:
            body.attribute_proto.append(attribute.default_value)
    return body if body.node else None


def _newest(versions: Iterable[int], opset: int) -> int:
    """The newest of the versions that an opset knows."""
    known = sorted(versions)
    return max((v for v in known if v <= opset), default=known[0])


def _type(value: Value | None) -> onnx.TypeProto:
    """A Value's type, as ONNX's own functions are made for."""
    from onnx import TypeProto, helper

    made = TypeProto()
    if value is None:
        return made
    if value.array is not None:
        kind = np.dtype(np.int64) if value.array.dtype == object else value.array.dtype
    else:
        kind = value.spec.dtype.storage
    made.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(kind)
    made.tensor_type.shape.SetInParent()
    for size in value.shape:
        axis = made.tensor_type.shape.dim.add()
        if isinstance(size, Dim):
            axis.dim_param = str(size)
        else:
            axis.dim_value = int(size)
    return made


def _graphs(proto: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [g for a in proto.attribute for g in ([a.g] if a.HasField("g") else a.graphs)]


def _renamed(
    proto: onnx.NodeProto, names: Mapping[str, str], given: Mapping[str, onnx.AttributeProto]
) -> onnx.NodeProto:
    """A node with its tensors under other names, and with what it reads of its function's attributes filled in."""
    made: Any = type(proto)()
    made.CopyFrom(proto)
    made.ClearField("attribute")
    for kind in ("input", "output"):
        renamed = [names.get(n, n) for n in getattr(proto, kind)]
        made.ClearField(kind)
        getattr(made, kind).extend(renamed)
    for attribute in proto.attribute:
        source = given.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
        if source is None:
            continue  # left out by the caller, and without a default
        added = made.attribute.add()
        added.CopyFrom(source)
        added.name = attribute.name
        for graph in [added.g] if added.HasField("g") else added.graphs:
            _rename_graph(graph, names, given)
    if made.name or len(made.output):
        made.name = next(filter(None, made.output), made.name)
    return made


def _rename_graph(
    graph: onnx.GraphProto, names: Mapping[str, str], given: Mapping[str, onnx.AttributeProto]
) -> None:
    """The same for a sub-graph, which may have names of its own that hide those around it."""
    own = {t.name for t in graph.initializer} | {i.name for i in graph.input}
    own |= {o for n in graph.node for o in n.output}
    seen = {old: new for old, new in names.items() if old not in own}
    nodes = [_renamed(n, seen, given) for n in graph.node]
    graph.ClearField("node")
    graph.node.extend(nodes)
    for output in graph.output:
        output.name = seen.get(output.name, output.name)
