"""Models that are called while a study runs: they score candidates that others gather."""
