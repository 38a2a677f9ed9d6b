"""What people see is what was said."""

from adapt_jax.runtime import terminal


def test_brackets_and_colons_in_a_text_are_shown_as_they_are(capsys):
    text = "[/x] [bold] [link=http://a] :smile: /data/[0]/c"
    terminal.console().print(text, highlight=False)
    terminal.printer(terminal.console())(text)
    with terminal.doing(terminal.console()) as say:
        say(text)
    terminal.warn(text)
    said = capsys.readouterr()
    assert said.out.count(text) == 3
    assert text in said.err
