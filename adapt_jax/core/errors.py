"""The one exception that means "the input is wrong, not the program"."""


class InputError(ValueError):
    """A user's mistake: says what was wrong, where, and what to do, in one sentence.

    Every command turns it into that sentence on stderr and exit code 2, without a traceback.
    """
