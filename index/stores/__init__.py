"""Where entries live, one file per engine."""
