"""A page in the browser: a picture and a sentence in, depth to look at, to measure and to take away.

`view` is what a visitor has, `desk` what the networks do for them, `showing` and `files` what they get; none of these
knows gradio, which is `layout` and, for its server, `serving`.
"""
