"""Doors that stay open: they listen (OTLP) or stand between two programs (MCP), and hand what they hear to the recorder."""
