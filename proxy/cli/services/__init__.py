"""What `openline service` is made of: a plan, the texts of units, and the supervisors that they are for."""
