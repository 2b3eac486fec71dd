"""What this machine is, read from the machine; what it does not tell stays unknown."""
