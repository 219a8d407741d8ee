"""quantize: fp32 Net -> Net of integer layers, calibrated on samples.

    small = net.quantize(samples, max_drop=0.5)

The road: samples (checked, prepared as images are) -> observation (how each tensor's numbers lie) -> ranges (what int8
is to cover) -> equalise and correction (weights that suffer less) -> convert (integer layers, by the rules that
layers/integer_*.py have for each type) -> quality (beside fp32) -> budget (layers that go back to fp32).
"""
