"""Commit → session, prompts, calls, approvals; paths → calls."""
