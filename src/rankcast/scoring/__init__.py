"""`rankcast score`: any slates against any labels, without a study."""
