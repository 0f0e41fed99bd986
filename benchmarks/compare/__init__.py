"""What runbus costs beside others that do the same work, in one run on one server."""
