"""Who gets shown: one value per variant, over all lists."""
