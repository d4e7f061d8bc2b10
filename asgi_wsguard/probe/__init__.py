"""The probe: one list of misbehaving apps, one list of servers, and a strict client that observes the results."""
