"""The machine a run works on: what it uses (sensors) and what it is (system)."""
