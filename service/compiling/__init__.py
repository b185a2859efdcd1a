"""Makes the compiled form of a model, offline, and proves that it answers as the estimator does."""
