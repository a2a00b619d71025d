"""The parts of a study at work: from the plan to objects, from shards to results. `study.py` tells them in order."""
