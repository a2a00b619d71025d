"""The steps of post-processing, one file each, found by their entry points."""
