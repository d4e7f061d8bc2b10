"""Draws the pictures of the docs, from the code, when the docs are built."""
