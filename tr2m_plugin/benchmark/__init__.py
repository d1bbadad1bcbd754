"""Holding depth models to one ruler: models, datasets, sentences, numbers, tables and pictures of an evaluation."""
