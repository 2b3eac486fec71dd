"""The processes of a run: process group, device binding, supervisor, heartbeats and monitors."""
