"""The machine: tensors, layers, nets, plans, sessions. Knows no layer, no file format and no device by name."""
