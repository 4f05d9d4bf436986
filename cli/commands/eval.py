"""`ragmesh eval`: how good the models are, on files of questions; and whether one run is better than another.

Each command prints a table and keeps the run (figures, configuration, model digests, a row for each item): in the file that
`--json` names, else in a new one below `var/evals`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import structlog
import typer
from rich.table import Table

from cli.commands.eval_goldens import goldens
from cli.commands.eval_guard import guard
from cli.commands.eval_intents import intents
from cli.commands.eval_output import output
from cli.commands.eval_pii import pii
from cli.commands.options import VAR, Var
from cli.console import err, out
from cli.documents.sample import SAMPLE_CORPUS
from cli.errors import EXIT_FAILED

if TYPE_CHECKING:
    from cli.evaluation.run import EvalRun

# What measures is imported where it is asked for: it holds the services, and every other command would wait for them.
app = typer.Typer(help="Measure the models, each as it is served.", no_args_is_help=True, rich_markup_mode=None)
app.command("goldens")(goldens)
app.command("guard")(guard)
app.command("output")(output)
app.command("intents")(intents)
app.command("pii")(pii)


@app.callback()
def _quietly() -> None:
    # What is measured logs as the services do; here only what goes wrong is of interest.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


Json = Annotated[Path | None, typer.Option("--json", help="Write the figures to this file, each item beside it.")]
Engine = Annotated[Literal["reader", "lexical", "overlap", "first"], typer.Option(help="Engine of the answerer that is evaluated.")]
Corpus = Annotated[Path, typer.Option(help="JSON lines {id, title, text}.")]


def _run(work: Coroutine[Any, Any, EvalRun], json_file: Path | None, var: Path) -> None:
    from cli.evaluation.run import keep, show

    run = asyncio.run(work)
    show(run, keep(run, json_file, var))


@app.command()
def reader(
    data: Annotated[Path, typer.Option(help="SQuAD 1.1 or 2.0 file; the passage is the question's own paragraph.")],
    engine: Engine = "reader",
    json_file: Json = None,
    var: Var = VAR,
) -> None:
    """Short answers and shown sentences, given the right paragraph.

    em, f1: the best short answer of the paragraph (without one: the best sentence), graded as the official script does. A 1.1
    file is answered throughout; in a 2.0 file a question below the shipped threshold is left unanswered. has_ans_f1, no_ans_f1
    and abstain_auroc (over the probability that there is an answer) are of 2.0 files. shown_sentence: an answer string stands in
    the one best sentence; _strict: a labelled place does; shown_2: in one of the best two. Questions without an answer do not
    count in shown_*, and whether a question would be answered at all does not matter there: at_threshold says what the shipped
    threshold makes of a 2.0 file (share answered, of those rightly, and of the unanswerable answered).
    """
    from cli.evaluation.reader import run_reader

    _run(run_reader(data, engine), json_file, var)


@app.command()
def retrieval(
    corpus: Corpus,
    queries: Annotated[Path, typer.Option(help="JSON lines {id, text, relevant: [corpus ids]}.")],
    json_file: Json = None,
    var: Var = VAR,
) -> None:
    """Search over a corpus that is imported for it: BM25, dense, both, and reranked.

    r1 to r50: share of queries with a relevant document among the first; chunks of a document count once. The baselines order the
    passages of the hybrid search again.
    """
    from cli.evaluation.retrieval import run_retrieval

    _run(run_retrieval(corpus, queries), json_file, var)


@app.command()
def search(
    files: Annotated[list[Path], typer.Argument(help="JSON lines {id, query, relevant: [paths], history, subject, every}.")],
    corpus: Annotated[Path, typer.Option(help="Folder of Markdown files.")] = SAMPLE_CORPUS,
    json_file: Json = None,
    var: Var = VAR,
) -> None:
    """Questions that need rewriting: searched as shipped, without any rewriting, and without each way of it that acted.

    r1, r5, mrr10: of the nearest document that answers; all5: all of the documents that are needed stand among the first five;
    changed: share of the questions that were searched otherwise than they were asked.
    """
    from cli.evaluation.searching import run_searching

    _run(run_searching(corpus, files), json_file, var)


@app.command()
def verifier(
    pairs: Annotated[Path, typer.Option(help="JSON lines {claim, evidence, label}: supported, contradicted or unknown.")],
    json_file: Json = None,
    var: Var = VAR,
) -> None:
    """Claims beside evidence.

    Two labels make it two-way: supported against the rest. auroc is that of the first label that occurs. claim_only_accuracy is
    what a bag of words of the claim alone gets right on claims that it was not fitted on.
    """
    from cli.evaluation.verifier import run_verifier

    _run(run_verifier(pairs), json_file, var)


@app.command()
def answers(
    corpus: Corpus,
    questions: Annotated[Path, typer.Option(help="JSON lines {id, question, answers, relevant, answerable}.")],
    engine: Engine = "reader",
    json_file: Json = None,
    var: Var = VAR,
) -> None:
    """Whole answers as a visitor sees them, from a mesh that is started for it.

    shown_sentence: an answer string stands in the best shown sentence; _strict: of a relevant document; shown_2: in one of the
    first two that are shown. Where the mesh left an answerable question unanswered, what it would have shown counts, as in
    `eval reader`: whether it was right to be silent say abstain_auroc, coverage_at_95 (the share of all questions that could be
    answered with 95 % right sentences) and the risk-coverage curve, a PNG beside the figures. at_threshold is what a visitor gets
    at the shipped thresholds: the share answered, of those rightly, and shown_* with silence counted as wrong. em, f1: the best
    short answer, without one the best sentence, nothing where nothing was answered. A citation is right when its document is
    relevant (of an unanswerable question none is); recall is the share of the relevant documents that are cited. The mesh waits for
    its models here, so that a busy machine changes times alone; `degraded` in the file counts the turns that went without a part.
    """
    from cli.evaluation.answers import run_answers

    _run(run_answers(corpus, questions, engine), json_file, var)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Run before.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Run after.")],
    fail_on_drop: Annotated[
        bool, typer.Option("--fail-on-drop", help="End with 1 where a figure of B is significantly worse.")
    ] = False,
) -> None:
    """Paired differences between two runs over the same items: 10,000 bootstrap samples, 95 % intervals."""
    from cli.evaluation.compare import differences, unpaired
    from cli.evaluation.run import read_run

    before, after = read_run(a), read_run(b)
    found = differences(before, after)
    table = Table("", "figure", "A", "B", "B - A", "95 % interval", "", box=None)
    for one in found:
        verdict = "worse" if one.is_drop else "" if one.low <= 0 <= one.high else "differs"
        cells = (f"{value:.4g}" for value in (one.a, one.b, one.b - one.a))
        table.add_row(one.row, one.figure, *cells, f"{one.low:+.3g} to {one.high:+.3g}", verdict)
    out.print(table)
    if lacking := unpaired(before, after):
        err.print(f"{lacking} items stand in one of the runs only and were left out.")
    if fail_on_drop and any(one.is_drop for one in found):
        raise typer.Exit(EXIT_FAILED)
