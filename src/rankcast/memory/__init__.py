"""What a team remembers of its online tests: adding to the record, looking things up, what to test next."""
