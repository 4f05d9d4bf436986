"""The hard layer: which numbers, dates and names of a claim its evidence does not give; what is only put otherwise is given."""

from __future__ import annotations

from pathlib import Path

import pytest
from ragmesh_models.claim_facts import missing, read
from ragmesh_models.quantities import quantities_of
from ragmesh_models.word_table import WordTable

TABLE = WordTable.load(Path(__file__).resolve().parents[2] / "deploy/triton/model_repository/verifier/1/words.bin")

GIVEN = [
    # The same number, put otherwise.
    ("The town has 1000 inhabitants.", "The town has 1,000 inhabitants."),
    ("The town has 1,000 inhabitants.", "The town has 1\u202f000 inhabitants."),
    ("The club won ten titles.", "The club won 10 titles."),
    ("The club won 21 titles.", "The club won twenty-one titles."),
    ("The film cost $3 million.", "The film cost 3,000,000 dollars."),
    ("The film cost three million dollars.", "The film cost $3m."),
    ("The firm has a hundred and five shops.", "The firm has 105 shops."),
    ("Half a dozen, that is 6, were lost.", "Six were lost, half a dozen."),
    ("It was the 3rd attempt.", "It was the third attempt."),
    ("She finished 73rd.", "She finished seventy-third."),
    ("The dose is 5 mg.", "A dose of 5 milligrams is given."),
    ("About 70 percent of it is water.", "Some 70% of it is water."),
    ("٣ ships sank.", "3 ships sank."),
    (f"It has {'9' * 400} parts.", f"There are {'9' * 400} parts in it."),
    # Less than the evidence says, never something else.
    ("The album came out in the 1970s.", "The album came out in March 1979."),
    ("The album came out in the nineteen seventies.", "The album came out in 1979."),
    ("He lived in the 20th century.", "He was born in 1931 and died in 1999."),
    ("The core is over 9,800 degrees.", "The core is at 9,806 degrees."),
    ("Fewer than 50 people live there.", "The village has 47 inhabitants."),
    ("About 5,000 people came.", "4,950 people came."),
    # Dates.
    ("It began in January.", "It began on 3 Jan 1990."),
    ("It opened on June 3, 2001.", "It opened on 2001-06-03."),
    ("It opened on 3 June 2001.", "On June 3rd, 2001 it opened."),
    ("It was signed on Monday.", "It was signed on Mon 4 May 2020."),
    # Names.
    ("Albert Einstein was born in Ulm.", "Einstein was born in Ulm."),
    ("Albert Einstein was born in Ulm.", "A. Einstein was born in Ulm."),
    ("Einstein was born in Ulm.", "Albert Einstein was born in Ulm."),
    ("J. K. Rowling wrote it.", "It was written by Joanne Rowling."),
    ("Einstein's theory was tested.", "The theory of Einstein was tested."),
    ("The Beatles’ record sold well.", "The record of the Beatles sold well."),
    ("Ludwig van Beethoven was deaf.", "Beethoven was deaf."),
    ("John S. McCain Jr. studied in Annapolis.", "McCain studied in Annapolis."),
    ("Bob Dylan sang.", "Robert Dylan sang."),
    ("Yale University has many alumni.", "Yale has many alumni."),
    ("He played in Germany.", "He played for a German team."),
    ("She is French.", "She was born and lives in France."),
    ("He lives in the United States.", "He lives in the US."),
    ("The U.S. has fifty states.", "The United States has 50 states."),
    ("The United States has fifty states.", "The U.S. has 50 states."),
    ("The film has a lot of songs, and Cars 3 is a sequel.", "Cars 3 is a film with many songs."),
    ("The Incredibles 2 was released in June.", "It was released in June."),
    ("The NFL has 32 teams.", "The National Football League has 32 teams."),
    ("The National Football League has 32 teams.", "The NFL has 32 teams."),
    ("Beyonce was born in Houston.", "Beyoncé was born in Houston."),
    ("Küßnacht has a bridge.", "The bridge at Küßnacht crosses the river."),
    ("The 14th Dalai Lama lives in India.", "The Dalai Lama fled to India, where he lives."),
    # The subject, where the evidence has a pronoun for it.
    ("Hourglass is performed by Mika.", "It is performed by Mika."),
    ("Halsey signed in 2014.", "In 2014, she signed her first contract."),
    ("Underdog stars Jim Belushi.", "The film stars Jim Belushi."),
    # Words that are no facts.
    ("One of the reasons is rain.", "Rain is a reason."),
    ("At first it rained.", "It rained in the beginning."),
    ("You may march in the sun.", "Marching in sunshine is allowed."),
    ("Dogs bark.", "The dog barked at night."),
    ("The Museum Opened Its New Wing Last Week", "The museum opened its new wing last week."),
    ("THE MUSEUM OPENED ITS NEW WING", "The museum opened its new wing."),
]

LACKING = [
    # Numbers.
    ("The town has 1,100 inhabitants.", "The town has 1,000 inhabitants."),
    ("The club won eleven titles.", "The club won 10 titles."),
    ("The film cost $3 billion.", "The film cost $3 million."),
    ("The dose is 5 mg.", "The dose is 5 g."),
    ("The wall is 30 km long.", "The wall is 30 miles long."),
    ("It was the fourth attempt.", "It was the third attempt."),
    ("It is 2.85 percent.", "It is 2.66 percent."),
    ("Over 9,900 people came.", "9,806 people came."),
    ("The album came out in the 1980s.", "The album came out in March 1979."),
    ("He lived in the 19th century.", "He was born in 1931 and died in 1999."),
    ("There are 129 members.", "There are many members."),
    # Dates.
    ("It began in February 1990.", "It began in January 1990."),
    ("It began in 1991.", "It began in January 1990."),
    ("He died on November 12, 1997.", "He died on 22 November 1997."),
    ("It was signed on Tuesday.", "It was signed on Monday 4 May 2020."),
    # Names.
    ("Savages was directed by Ridley Scott.", "Savages was directed by Oliver Stone."),
    ("John Dylan sang.", "Robert Dylan sang."),
    ("George Washington wrote it.", "It was written by Denzel Washington."),
    ("He was born in Austria.", "He was born in Australia."),
    ("He was born in Berlin.", "He was born in Hamburg."),
    ("She is Italian.", "She was born in France."),
    ("The NBA has 32 teams.", "The National Football League has 32 teams."),
    ("Marie Curie won two prizes.", "Albert Einstein was a physicist. He won two prizes."),
    ("Hourglass is performed by Mika.", "It is performed by Zemfira."),
    ("Harvard University has many alumni.", "Yale University has many alumni."),
    ("Zürich has a bridge.", "The bridge at Küßnacht crosses the river."),
    ("The drug is made by Pfizer.", "The drug is made in Belgium."),
]


@pytest.mark.parametrize(("claim", "evidence"), GIVEN)
def test_a_fact_that_is_put_otherwise_is_given(claim: str, evidence: str) -> None:
    found = missing(read(claim, TABLE), read(evidence, TABLE), TABLE)
    assert not found.any, found


@pytest.mark.parametrize(("claim", "evidence"), LACKING)
def test_a_fact_that_the_evidence_does_not_give_is_missing(claim: str, evidence: str) -> None:
    assert missing(read(claim, TABLE), read(evidence, TABLE), TABLE).any


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,000,000.5 kg", [1_000_000.5]),
        ("two hundred and five thousand", [205_000.0]),
        ("in May", [5.0]),
        ("it may rain", []),
        ("the 1960's", [1960.0]),
        ("$5bn", [5e9]),
        ("1976–85", [1976.0, 85.0]),
        ("A5 paper", []),
        ("", []),
        ("…", []),
    ],
)
def test_numbers_have_one_form(text: str, values: list[float]) -> None:
    assert [one.value for one in quantities_of(text)] == values


def test_a_unit_belongs_to_its_number() -> None:
    (dose,) = quantities_of("a dose of 5 mg daily")
    assert (dose.value, dose.unit) == (5.0, "mg")
    (price,) = quantities_of("£20")
    assert price.unit == "£"
