"""Boxes, polygons and masks drawn on one image."""
