"""The machine: its sensors (energy and utilisation) and its system (hardware and software)."""
