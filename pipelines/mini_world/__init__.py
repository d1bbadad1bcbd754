"""A miniature world with true metric depth: rooms, streets, colons and their miniatures, ray-cast in NumPy.

Shapes are intersected in `shapes`, seen through a `camera` as a `scene`, painted by `shading`; `objects` are made of
shapes, and `rooms`, `streets`, `colons` and `blocks` place them; `domains` names the datasets and seeds the pictures;
`captions` says what is in them.
"""
