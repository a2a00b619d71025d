"""Anti-patterns that fire. One file each rule, found by its entry point; the docstring is its page."""
