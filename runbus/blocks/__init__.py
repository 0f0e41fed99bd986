"""Blocks: values that are stored under a name and outlive every run, as in Prefect."""
