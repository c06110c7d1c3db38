"""Inference engines: each turns a `Design` into a frozen record of estimates."""
