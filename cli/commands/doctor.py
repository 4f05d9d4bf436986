"""`ragmesh doctor`: looks at every part, and says what is wrong and what to do."""

from __future__ import annotations

import typer
from rich.markup import escape

from cli.commands.options import VAR, Var
from cli.console import err, out
from cli.errors import EXIT_UNAVAILABLE
from cli.health_checks import Finding, Verdict, all_findings
from cli.parts.run_state import layout
from cli.settings import read_settings

_STYLES = {Verdict.GOOD: "green", Verdict.BAD: "bold red", Verdict.ABSENT: "dim"}


def doctor(var: Var = VAR) -> None:
    """Check every part, and say what to do where one is wrong."""
    folders = layout(var)
    settings = read_settings(folders.root)
    findings: list[Finding] = []
    for finding in all_findings(folders, settings):
        findings.append(finding)
        out.print(_line(finding))
    wrong = [finding.name for finding in findings if finding.verdict is Verdict.BAD]
    if wrong:
        err.print(f"Wrong: {', '.join(wrong)}.", style="bold red")
        raise typer.Exit(EXIT_UNAVAILABLE)
    out.print("Everything that `ragmesh up` needs is there.")


def _line(finding: Finding) -> str:
    style = _STYLES[finding.verdict]
    remedy = f"  -> {escape(finding.remedy)}" if finding.remedy else ""
    return f"[{style}]{finding.verdict.value:<9}[/{style}] {finding.name:<15} {escape(finding.detail)}{remedy}"
