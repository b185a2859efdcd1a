"""Compiled forms of models: small files beside model.joblib that answer as the estimator does, without scikit-learn."""
