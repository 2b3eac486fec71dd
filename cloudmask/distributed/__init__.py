"""The processes of a run: process group, device binding, supervisor and heartbeat."""
