"""Rules about labels and behaviour: what users did, and what it says."""
