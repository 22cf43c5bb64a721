"""Small tables of what was decided and why, written beside the rows, so that a report's numbers are queries on one file."""

from __future__ import annotations

from allmend.kinds import Corpus, Verdicts, Work

NUMBERS = "CAST(count(*) AS BIGINT) AS documents"
KEPT = "CAST(count(*) FILTER (fate <> 'drop') AS BIGINT) AS kept"
REASONS = (
    "(SELECT DISTINCT id, reason.annotator AS annotator, reason.rule AS rule "
    "FROM (SELECT id, unnest(reasons) AS reason FROM decisions))"
)
DECIDED = {
    "fates": f"SELECT fate, {NUMBERS}, CAST(sum(bytes) AS BIGINT) AS bytes FROM decisions GROUP BY fate ORDER BY fate",
    "annotators": (
        "SELECT annotator, CAST(count(DISTINCT id) AS BIGINT) AS documents FROM {reasons} "
        "GROUP BY annotator ORDER BY annotator"
    ),
    "optouts": f"SELECT rule, {NUMBERS} FROM {{reasons}} WHERE annotator = 'optout' GROUP BY rule ORDER BY rule",
    "licences": f"SELECT coalesce(licence, 'unknown') AS licence, {NUMBERS}, {KEPT} FROM decisions GROUP BY 1 ORDER BY 1",
    "languages": (
        f"SELECT split_part(language, '-', 1) AS language, {NUMBERS}, {KEPT}, "
        "CAST(coalesce(sum(bytes) FILTER (fate <> 'drop'), 0) AS BIGINT) AS bytes FROM decisions GROUP BY 1 ORDER BY 1"
    ),
}
"""Table of `counts/` → the query over all decisions that gives it."""
LANGUAGES = (
    "SELECT language.basis AS basis, language.known AS known, language.agrees AS agrees, "
    f"coalesce(language.score >= {{passing}}, false) AS confident, {NUMBERS} FROM verdicts GROUP BY ALL ORDER BY ALL"
)


def count_decisions(corpus: Corpus, work: Work) -> None:
    """`counts/fates`, `annotators`, `optouts`, `licences`, `languages`: documents by what was decided of them."""
    for name, query in DECIDED.items():
        work.sql(query.format(reasons=REASONS), {"decisions": corpus.view("decisions")}, into=f"counts/{name}")


def count_languages(verdicts: Verdicts, work: Work, passing: float) -> None:
    """`counts/languages`: documents by where their language comes from, and whether detector and page agree.

    Args:
        passing: the detector's smallest score that is believed.
    """
    work.sql(LANGUAGES.format(passing=passing), {"verdicts": verdicts}, into="counts/languages")
