"""One file each metric. They meet in `rankcast.evaluate.metric` and are found by their entry points."""
