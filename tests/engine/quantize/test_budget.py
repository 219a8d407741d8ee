"""Which layers a budget keeps in fp32: of made-up losses, so that the answer is known."""

import numpy as np
from fbnet.engine.quantize.budget import Budget, Candidate, back_to_float
from fbnet.engine.quantize.quality import Quality


def test_what_a_late_layer_makes_needless_goes_back_to_int8():
    """Errors that add up in their squares: the tenth layer's is the largest, but it takes long."""
    rest = [Candidate(f"small{i}", 0.01, 1e-4, 1e-6, 0.08) for i in range(9)]
    candidates = [*rest, Candidate("large", 0.1, 1e-2, 1e-3, 0.1)]

    def judge(floats):
        return Quality(16, float(np.sqrt(sum(c.error**2 for c in candidates if c.layer not in floats))))

    budget = Budget(max_error=0.028, most_float=1.0)
    kept = back_to_float(budget, candidates, judge, judge([]))
    assert kept == ["small0", "small1", "large"] and budget.met(judge(kept))
    assert [c.layer for c in candidates if c.kept] == kept


def test_where_time_would_keep_too_much_error_counts_alone():
    """The largest error is that of the layer which int8 makes fastest: by time it would come last."""
    rest = [Candidate(f"small{i}", 0.01, 1e-4, 1e-6, 0.08) for i in range(9)]
    candidates = [*rest, Candidate("large", 0.1, 1e-2, 1.0, 0.28)]

    def judge(floats):
        return Quality(16, float(np.sqrt(sum(c.error**2 for c in candidates if c.layer not in floats))))

    assert back_to_float(Budget(max_error=0.04, most_float=0.5), candidates, judge, judge([])) == ["large"]


def test_of_two_orders_the_one_that_costs_less_time_counts():
    """What moves decisions most, alone, is slow to keep; it is the layer of the largest error that it takes."""
    moves = [Candidate(f"moves{i}", 0.01, 0.5, 1e-4, 0.01) for i in range(3)]
    candidates = [*moves, Candidate("errs", 0.3, 1e-3, 1e-4, 0.01)]

    def judge(floats):
        return Quality(16, 0.01 if "errs" in floats else 0.3)

    assert back_to_float(Budget(max_error=0.02), candidates, judge, judge([])) == ["errs"]
    assert [c.layer for c in candidates if c.kept] == ["errs"]
