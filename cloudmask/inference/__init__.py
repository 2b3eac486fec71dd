"""Whole-scene inference and the command `infer`."""
