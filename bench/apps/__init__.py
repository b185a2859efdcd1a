"""The servers that Slipway is measured against, one per file. BENCH_MODEL names the joblib file that they serve."""
