"""One turn, from a parsed request to its outcome, whatever transport it came by."""
