"""Recurrent layers on awkward sizes: T steps, N batch, I in, H hidden."""

from ..recurrent import GRU, LSTM, RNN

LENGTHS = {"dtypes": {4: "int32"}, "given": {4: [5, 1, 3]}}


def cases(case):
    def sized(layer, t, n, i, h, *more, **flags):
        d, g = layer.directions, layer.gates
        return case(layer, (t, n, i), (d, g * h, i), (d, g * h, h), *more, batch=False, **flags)

    both = {"direction": "bidirectional"}
    return [
        sized(RNN(), 5, 3, 7, 4, (1, 8)),
        sized(RNN(activations=("Relu", "Sigmoid"), **both), 5, 1, 3, 2, kernel=False),
        sized(RNN(), 5, 3, 2, 4, None, (3,), **LENGTHS, kernel=False),
        sized(GRU(), 5, 3, 7, 4, (1, 24)),
        sized(GRU(linear_before_reset=True, **both), 5, 2, 3, 13, (2, 78), None, (2, 2, 13)),
        sized(GRU(direction="reverse", clip=0.5), 3, 2, 1, 1, kernel=False),
        sized(LSTM(), 5, 3, 7, 4),
        sized(LSTM(**both), 5, 2, 3, 13, (2, 104), None, (2, 2, 13), (2, 2, 13)),
        sized(LSTM(direction="reverse"), 5, 1, 3, 2, (1, 16)),
        sized(
            LSTM(input_forget=True), 5, 3, 2, 4, (1, 32), (3,), None, None, (1, 12), **LENGTHS, kernel=False
        ),
        case(GRU(batch_first=True), (2, 5, 3), (1, 6, 3), (1, 6, 2), kernel=False),
    ]
