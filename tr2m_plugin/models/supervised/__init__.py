"""Depth networks that see nothing but a picture and learn from true depth."""
