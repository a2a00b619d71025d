"""Public helpers for tests of Rankcast and of studies: a simulated service whose truth is known."""
