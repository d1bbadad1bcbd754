"""Networks of transformers that are used and never trained."""
