"""Wide tables, a row per request and candidate: they stream by once, and are kept in parts."""
