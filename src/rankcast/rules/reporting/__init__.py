"""Rules about the report."""
