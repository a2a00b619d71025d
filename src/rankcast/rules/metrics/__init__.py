"""Rules about metrics: what decides."""
