"""Sensors of a node: energy, CPU and GPU load, memory and network traffic."""
