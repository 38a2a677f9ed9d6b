"""The exceptions a command explains in one sentence instead of a traceback."""


class InputError(ValueError):
    """A user's mistake: says what was wrong, where, and what to do, in one sentence.

    Every command turns it into that sentence on stderr and exit code 2, without a traceback.
    """


class TrainingFailed(RuntimeError):
    """Nothing the user gave was wrong, yet training cannot go on: the loss stopped being a number,
    or a process that reads images is gone. Commands say so and exit with code 1.
    """


class NoAnswer(TrainingFailed):
    """Storage or another process does not answer, and a thread of this one still waits for it.

    Nothing can end that thread, so commands leave at once instead of joining it.
    """
