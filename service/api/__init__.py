"""HTTP: one file per dialect. Each decodes, calls the predictor and encodes; no logic."""
