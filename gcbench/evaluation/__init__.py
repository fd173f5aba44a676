"""From a model or a folder of images to scores: generation, evaluators, metrics."""
