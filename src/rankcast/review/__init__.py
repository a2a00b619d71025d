"""A change of studies in a repository, made ready for whoever reviews it."""
