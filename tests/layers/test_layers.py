"""What must hold of every layer, on the table of cases in conftest.py."""

import inspect

import numpy as np
from fbnet.engine.layer import as_tuple, layers
from fbnet.engine.tensor import Dim, Spec

NOT_FLOAT = {
    "ArgMax",
    "TopK",
    "CTCGreedy",
    "Compare",
    "Cast",
    "Shape",
    "Quantize",
    "MaxPooling3D",
    "NonMaxSuppression",
}  # whose results are counts, truths, places


def shapes_of(results):
    return [tuple(r.shape) for r in as_tuple(results)]


def test_infer_says_what_reference_does(case):
    computed = case.layer.compute(case.arrays())
    promised = case.layer.infer_outputs(case.specs)
    assert shapes_of(promised) == shapes_of(computed)
    assert [s.dtype.storage for s in promised] == [r.dtype for r in computed]
    if not case.dtypes:
        assert {str(s.dtype) for s in promised} == {"fp32"} or case.layer.type in NOT_FLOAT


def test_results_are_finite_and_inputs_untouched(case):
    arrays = case.arrays()
    before = [None if a is None else a.copy() for a in arrays]
    assert all(np.isfinite(r).all() for r in case.layer.compute(arrays))
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_empty_batch(batched_case):
    empty = batched_case.with_batch(0)
    computed = empty.layer.compute(empty.arrays())
    assert shapes_of(empty.layer.infer_outputs(empty.specs)) == shapes_of(computed)
    assert all(r.size == 0 for r in computed)


def test_a_batch_is_its_images_one_by_one(batched_case):
    many = batched_case.with_batch(3)
    arrays = many.arrays()
    batched = many.batched
    whole = many.layer.compute(arrays)
    for n in range(3):
        images = [None if a is None else a[n : n + 1] for a in arrays[:batched]]
        one = many.layer.compute(images + arrays[batched:])
        for result, full in zip(one, whole, strict=True):
            np.testing.assert_allclose(result, full[n : n + 1], rtol=1e-5, atol=1e-5)


def test_symbolic_sizes_are_carried_and_count_as_their_usual_size(case):
    symbolic = [
        None
        if s is None
        else Spec([Dim(letter, size) for letter, size in zip("NCHWDE", s.shape, strict=False)], s.dtype)
        for s in case.specs
    ]
    plain, named = case.layer.infer_outputs(case.specs), case.layer.infer_outputs(symbolic)
    assert plain == named
    if case.batch:
        assert all(str(spec.shape[0]) == "N" for spec in named)


def test_every_layer_type_has_a_case_and_a_docstring(cases):
    from_table = {case.layer.type for case in cases}
    ours = {name for name in layers if layers.owner(name).startswith("fbnet.layers.")}
    assert ours == from_table
    for name in ours:
        formula = inspect.getdoc(layers[name]).splitlines()[0]
        assert "y" in formula and "->" in formula, f"{name}'s docstring begins with formula and shapes"
