"""Real images: reading pictures, scanning and importing folders, splitting, exporting.

Pillow and numpy only.
"""
