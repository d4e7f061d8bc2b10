"""What the command `check` does: it visits an app in several ways, and finds what the app does wrong."""
