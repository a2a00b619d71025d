"""A browser for runs: read-only, on this machine unless told otherwise."""
