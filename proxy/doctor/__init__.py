"""The doctor: whether Openline can work here, found out step by step with the objects that the proxy itself uses."""
