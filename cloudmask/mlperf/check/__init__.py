"""Check of result files: rules, official tools, forensics and reference convergence points."""
