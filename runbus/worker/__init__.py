"""Many runs of deployments: what a worker serves, how it claims runs, and how many at once."""
