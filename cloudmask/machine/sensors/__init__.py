"""What a node uses while it works: energy, processors, memory, network."""
