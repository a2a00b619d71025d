"""Where the work is done. An engine maps one pure function over shards; it never knows what the function does."""
