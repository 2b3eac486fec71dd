"""Evaluation of cloud masks: screens to compare with, SST, scores and their intervals."""
