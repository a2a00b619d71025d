"""Rules about time: what was known when, and which days are judged."""
