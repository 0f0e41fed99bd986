"""Where each microsecond of a send and of a receive goes."""
