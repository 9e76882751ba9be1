"""One file per API: request body to Query, stored answer back to the caller's form. Pure."""
