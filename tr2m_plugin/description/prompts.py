"""The five questions that captioners answer (paper, Figure 6)."""

PROMPTS = (
    "Describe the image in one sentence.",
    "Provide a one-sentence description of the image, pay to attention object type.",
    "Capture the essence of the image in a single sentence, pay attention to object relationship.",
    "Condense the image description into one sentence, pay attention to object size.",
    "Express the image in just one sentence, pay attention to the overall layout.",
)
"""As they are printed, slips included."""
