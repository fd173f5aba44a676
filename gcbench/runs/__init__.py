"""What commands write and how they report progress: run directories, provenance, suite plans. Draws nothing."""
