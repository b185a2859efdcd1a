"""Whether what a model is asked and what it answers still look as they did when it was trained."""
