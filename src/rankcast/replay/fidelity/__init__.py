"""How far a replay can be believed: held against the log, explained where it differs, and probed for what would mend it."""
