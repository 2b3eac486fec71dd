"""Hardware and software of this machine, for the system description."""
