"""Runs become a package that strangers can check: its rules, its layouts and its documents."""
