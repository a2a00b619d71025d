"""Rules about the replay: whether the lists are what users would have seen."""
