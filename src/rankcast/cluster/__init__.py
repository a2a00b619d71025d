"""A study in a pod: the Job that runs it, and how to follow it."""
