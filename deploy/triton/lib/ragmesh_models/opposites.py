"""Words that turn a statement round: negations, words that leave no exception, hedges, and pairs of opposites.

By stem, as `lexical.stem` folds them. This module does not know sentences.
"""

from __future__ import annotations

from ragmesh_models.lexical import stem

NEGATIONS = frozenset(
    """not no never none neither nor cannot without nobody nothing nowhere isn't wasn't aren't weren't don't doesn't didn't hasn't
    haven't hadn't can't couldn't won't wouldn't shouldn't isnt wasnt arent dont doesnt didnt unable incapable refused refuses
    failed fails lacks lack lacked absence denied denies yet hardly barely zero""".split()  # noqa: SIM905 - a word list reads better as prose
)
EXCLUSIVES = frozenset(
    """only exclusively solely just all every always entirely completely purely merely strictly alone any anything everything
    nothing never ever unanimously""".split()  # noqa: SIM905 - a word list reads better as prose
)
HEDGES = frozenset(
    """may might could possibly probably perhaps likely suggest suggests suggested reportedly allegedly supposedly seems seem
    appears appear sometimes often usually generally believed thought said claimed considered rumored proposed""".split()  # noqa: SIM905 - a word list reads better as prose
)
COMPARISONS = frozenset(
    """more less fewer greater higher lower larger smaller bigger older younger longer shorter most least best worst largest
    smallest highest lowest oldest youngest before after over under above below than first last earlier later""".split()  # noqa: SIM905 - a word list reads better as prose
)
PAIRS = (
    "increase decrease|increase reduce|increase decline|rise fall|rise decline|grow shrink|gain lose|win lose|won lost|"
    "victory defeat|start end|begin end|start finish|begin finish|start stop|open close|opened closed|born died|"
    "birth death|alive dead|live die|young old|early late|before after|first last|high low|higher lower|highest lowest|"
    "large small|larger smaller|largest smallest|big little|bigger smaller|long short|longer shorter|longest shortest|"
    "strong weak|stronger weaker|hot cold|warm cool|wet dry|fast slow|rich poor|good bad|better worse|best worst|"
    "success failure|successful unsuccessful|positive negative|accept reject|accept refuse|allow forbid|allow prohibit|"
    "allow prevent|permit prohibit|legal illegal|possible impossible|likely unlikely|able unable|capable incapable|"
    "known unknown|common rare|frequent rare|male female|man woman|men women|boy girl|father mother|son daughter|"
    "brother sister|husband wife|king queen|actor actress|north south|northern southern|northeast southwest|"
    "northwest southeast|east west|eastern western|left right|up down|above below|over under|inside outside|"
    "internal external|inner outer|upper lower|top bottom|front back|public private|national international|"
    "domestic foreign|urban rural|major minor|majority minority|maximum minimum|more less|more fewer|most least|all none|"
    "every no|always never|everyone nobody|everything nothing|many few|much little|same different|similar different|"
    "similar opposite|true false|correct wrong|right wrong|include exclude|join leave|enter leave|arrive depart|buy sell|"
    "bought sold|import export|build destroy|create destroy|attack defend|love hate|friend enemy|ally enemy|support oppose|"
    "agree disagree|like dislike|approve disapprove|present absent|present past|ancient modern|new old|old modern|"
    "active inactive|guilty innocent|safe dangerous|simple complex|easy difficult|easy hard|light dark|black white|"
    "heavy light|full empty|fiction nonfiction|fictional real|fiction documentary|comedy tragedy|comedy drama|"
    "single married|married divorced|amateur professional|acquit convict|hire fire|promote demote|appoint dismiss|"
    "release withhold|free imprison|independent dependent|democrat republican|liberal conservative|add remove|add subtract|"
    "expand contract|expand shrink|encourage discourage|improve worsen|strengthen weaken|acidic alkaline|soluble insoluble|"
    "conductor insulator|predator prey|vertebrate invertebrate|praise criticize|praised criticised|acclaimed panned|"
    "positive mixed|profit loss|teacher student|parent child|summer winter|spring autumn|day night|morning evening|"
    "liquid solid|gas solid|surface underground|land sea|solo group|alone together|temporary permanent|partial complete|"
    "partly entirely|voluntary compulsory|optional mandatory|optional required|sequel prequel|protagonist antagonist|"
    "hero villain|plaintiff defendant|credit debit|ascend descend|maternal paternal|novel film|television film|book film|"
    "movie play|song album|city country|country continent|river lake|island mainland"
)
OPPOSITES: dict[str, frozenset[str]] = {}
for _pair in PAIRS.split("|"):
    _one, _other = (stem(word) for word in _pair.split())
    OPPOSITES[_one] = OPPOSITES.get(_one, frozenset()) | {_other}
    OPPOSITES[_other] = OPPOSITES.get(_other, frozenset()) | {_one}
_PREFIXES = ("un", "in", "im", "il", "ir", "dis", "non", "mis", "anti")


def opposes(stemmed: str, others: frozenset[str] | set[str]) -> bool:
    """Whether an opposite of this stem is among the others: a listed one, or the same word with or without a denying prefix."""
    if OPPOSITES.get(stemmed, frozenset()) & others:
        return True
    if len(stemmed) < 5:
        return False
    return any(
        prefix + stemmed in others or (stemmed.startswith(prefix) and stemmed[len(prefix) :] in others) for prefix in _PREFIXES
    )
