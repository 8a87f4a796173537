"""What happened: one outcome a turn, as log lines and figures."""
