"""Who says whether a fresh answer is the same as the remembered one, one file per kind."""
