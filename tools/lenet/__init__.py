"""The embedded default: LeNet-5 for MNIST digits, trained by train.py, with ten digits to read."""
