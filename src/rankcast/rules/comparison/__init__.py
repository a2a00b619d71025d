"""Rules about the comparison: against what."""
