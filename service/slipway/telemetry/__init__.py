"""What is told outside: metrics, log lines, request ids.

`metrics`: every metric, its text and its reader.
`log_metrics`: the prediction log's.
`model_metrics`: requests by model.
`drift_metrics`: drift's.
`slot_files`: their values in files, which outlive a worker.
`logs`: log lines: JSON or console.
`request_id`: X-Request-ID, and the keys of logged rows.
"""
