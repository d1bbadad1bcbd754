"""Using a trained model: model folders, the inferencer and what it writes."""
