"""Tests of fixed effects and of random terms."""
