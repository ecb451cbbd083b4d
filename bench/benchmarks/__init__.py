"""One module a benchmark; each has measure(setting), which returns figures."""
