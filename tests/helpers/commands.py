"""Running commands of the command line in this process."""

import warnings

from typer.testing import CliRunner

from dipkit.cli.app import app


def run(*arguments, code: int = 0):
    """Run a command in this process."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def warned(*arguments):
    """Run a command in this process that warns on stderr, as it does outside tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        result = run(*arguments)
    assert "dipkit: warning: " in result.stderr
    return result


def refused(*arguments) -> str:
    """Run a command that must end with exit code 2 and one or two lines; return them."""
    result = run(*arguments, code=2)
    lines = result.stderr.strip().splitlines()
    assert 1 <= len(lines) <= 2, result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
    return " ".join(lines)
