"""The command `check`: it visits an app in several ways, and reports its faults."""
