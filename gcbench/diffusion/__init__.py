"""The Gaussian-categorical process: tensors in, tensors out; knows no network, dataset or file."""
