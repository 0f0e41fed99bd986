"""What a server answers to a command."""

from typing import Any, TypeAlias

Reply: TypeAlias = Any
"""What the command's own page says: None, a number, bytes, or a list or a dict of such; or the
`ReplyError` by which it is refused.

For a checker it fits everything: who asks knows what the command answers.
"""
