"""What a case of the ONNX backend suite is about: inference by convolutional nets and transformers, or something else.

The rule, in this order; a case of an operator that is spelt out in others is one of that operator:

1. A case that feeds or returns what is no tensor of numbers of 8 bits or more is "other values".
2. Operators that a table below names belong to its class; so do the cases of Dropout and BatchNormalization that train.
3. Whatever is left is "inference": the operators that exporters write for a trained network that sees, reads or
   listens, on floating-point, whole and truth tensors. Results whose size depends on the numbers are among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

CLASSES: Mapping[str, str] = {
    "training": "Adagrad Adam Momentum NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss",
    "random": "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike",
    "quantised": (
        "ConvInteger DequantizeLinear DynamicQuantizeLinear MatMulInteger QLinearConv QLinearMatMul QuantizeLinear"
    ),
    "sequences, text, trees": (
        "ArrayFeatureExtractor Binarizer ImageDecoder LabelEncoder OptionalGetElement OptionalHasElement RegexFullMatch"
        " SequenceInsert SequenceMap SplitToSequence StringConcat StringNormalizer StringSplit TfIdfVectorizer"
        " TreeEnsemble"
    ),
    "control": "If Loop Scan",
    "signals": "BlackmanWindow DFT HammingWindow HannWindow MelWeightMatrix STFT",
    "bits": "BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor",
}
INFERENCE, OTHER = "inference", "other values"
ORDER = (INFERENCE, *CLASSES, OTHER)
_CLASS = {operator: name for name, operators in CLASSES.items() for operator in operators.split()}


def class_of(operator: str, name: str, outside: str) -> str:
    """The class of a case: its operator, its name, and why its values are outside of what is computed with, or ''."""
    if outside:
        return _CLASS.get(operator, OTHER)
    if operator in ("Dropout", "BatchNormalization") and "train" in name:
        return "training"
    return _CLASS.get(operator, INFERENCE)


def counted(classes: Mapping[str, str], failing: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Class -> (cases, those of them that pass), of cases by their class."""
    bad = set(failing)
    return {
        c: (sum(k == c for k in classes.values()), sum(k == c and n not in bad for n, k in classes.items()))
        for c in ORDER
    }
