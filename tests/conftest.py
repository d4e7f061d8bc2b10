"""Puts this folder on the path: every folder of tests may use `environments`."""
