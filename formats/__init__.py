"""Outside <-> Net: one file a format."""
