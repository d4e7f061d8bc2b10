"""The command `check`: visits an app in several ways, and finds its faults."""
