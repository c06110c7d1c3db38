"""Estimates and draws as labelled tables; saving and loading."""
