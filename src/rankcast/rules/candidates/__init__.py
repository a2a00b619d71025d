"""Rules about candidates: what could have been shown."""
