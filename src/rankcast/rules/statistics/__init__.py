"""Rules about statistics: how sure."""
