"""Probes, the state machine of a server's health, and the schedule."""
