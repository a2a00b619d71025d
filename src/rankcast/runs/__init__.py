"""Run folders: immutable, whole or not at all, and able to say how to repeat themselves."""
