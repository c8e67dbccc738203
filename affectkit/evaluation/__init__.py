"""What predictions are worth: metrics, intervals that respect groups, and the judging of a whole table.

metrics: the table of metrics and the functions. intervals: the one jackknife and bootstrap. assess: everything that a
report says. hub: the same metrics as `evaluate.Metric`.
"""
