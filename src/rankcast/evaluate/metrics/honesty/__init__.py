"""What a list cannot show by itself: how much of it was judged, how much of it there is."""
