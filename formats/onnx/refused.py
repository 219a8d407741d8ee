"""Why there is no layer for some of ONNX's operators, and will be none."""

from __future__ import annotations

COUNTS = "how many results it has depends on the numbers, and sizes are known here before a net runs"
RANDOM = "its result is random, and a net gives the same numbers for the same input"
SEQUENCES = "sequences and optional values are no tensors"
TEXT = "nothing is computed with text"

REASONS = {
    **dict.fromkeys(("NonZero", "NonMaxSuppression", "Unique"), COUNTS),
    **dict.fromkeys(("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike"), RANDOM),
    **dict.fromkeys(("RandomUniform", "RandomUniformLike"), RANDOM),
    **dict.fromkeys(
        ("SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert"), SEQUENCES
    ),
    **dict.fromkeys(("SequenceLength", "SequenceMap", "SplitToSequence", "ConcatFromSequence"), SEQUENCES),
    **dict.fromkeys(("Optional", "OptionalGetElement", "OptionalHasElement"), SEQUENCES),
    **dict.fromkeys(
        ("StringConcat", "StringNormalizer", "StringSplit", "RegexFullMatch", "TfIdfVectorizer"), TEXT
    ),
    "ImageDecoder": "image files are decoded outside of a net",
}


def why_none(operator: str) -> str:
    """Why an operator is not among those that have layers."""
    return REASONS.get(operator, "there is no layer for this operator")
