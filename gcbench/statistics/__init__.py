"""Arrays in, numbers out: Fréchet distances, confusion matrices, intervals."""
