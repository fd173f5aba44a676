"""One trainer for models and evaluators."""
