"""The timed run: launch, plan, events, page cache, power sampling, profiling and dry run."""
