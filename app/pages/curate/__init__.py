"""Deciding which synthetic images may train."""
