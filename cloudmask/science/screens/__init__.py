"""Cloud screens that the network is compared with: Bayesian and threshold."""
