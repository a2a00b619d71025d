"""What a list is like beside being right: a value per request, from what is known of items."""
