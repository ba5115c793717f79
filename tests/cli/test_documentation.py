"""The page about the command line names every command and every option."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from dipkit.cli.app import app

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
# Described at the top of the page for all commands, or under the short name that the page shows.
EVERYWHERE = {"--help", "--output", "--verbose"}


def part(heading: str) -> str:
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M)
    return found[1] if found else ""


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_all_options_are_named(name: str) -> None:
    described = part(name)
    assert described, f"docs/cli.md has no section {name}"
    if "[options about files]" in described or name == "label":
        described += part("Options about files")
    options = {
        option if "--no-" + option[2:] not in described else "--no-" + option[2:]
        for parameter in COMMANDS[name].params
        for option in parameter.opts
        if option.startswith("--")
    }
    words = set(re.findall(r"--[a-z-]+", described))
    assert sorted(options - words - EVERYWHERE) == []
