"""The closed word classes of English, irregular verbs, places and synonyms, for the rules of synthetic.py. Knows no sentence."""

from __future__ import annotations

import re
from functools import lru_cache

from training.synthetic_lexicon import listed, read_lexicon

DETERMINERS = listed(
    """
    the a an this that these those its his her their my our your each every some any no another all both most many several few
    other either neither such one's what which whose more less much
    """
)
PREPOSITIONS = listed(
    """
    in on at by for from with of to into onto during after before between among against through throughout over under within
    without about around across along near behind beyond beside besides despite per via toward towards upon until till since
    than like unlike as off out above below inside outside including
    """
)
SUBORDINATORS = listed(
    """
    because although though while whereas if unless when whenever where wherever whether how why once
    """
)
RELATIVES = listed(
    """
    which who whom whose that
    """
)
CONJUNCTIONS = listed(
    """
    and or but nor yet so
    """
)
MODALS = listed(
    """
    can could will would may might must shall should cannot
    """
)
BE = {"is": "be", "are": "be", "was": "be", "were": "be", "be": "be", "been": "be", "being": "be", "am": "be"}
HAVE = {"has": "have", "have": "have", "had": "have", "having": "have"}
DO = {"do": "do", "does": "do", "did": "do"}
PRONOUNS = listed(
    """
    he she it they we i you him them us me himself herself itself themselves there someone something everyone anyone this these
    those that here others one ones theirs hers
    """
)
POSSESSIVES = listed(
    """
    his her its their my our your
    """
)
ADVERBS = listed(
    """
    also then however often never always usually still already not only even just later soon again now thus therefore sometimes
    together once twice almost well very quite rather too perhaps instead moreover furthermore nevertheless eventually finally
    initially originally currently today first initially early mainly ever yet far long further generally typically commonly
    mostly nearly approximately roughly about subsequently previously formerly back away up down out abroad ago n't
    """
)
ADJECTIVES = listed(
    """
    new old first second third last main major minor large small high low early late young good best better long short big great
    common important different same various certain other own only american british french german english human local national
    public social political military several available able likely similar possible necessary early popular well-known famous
    current former next previous final
    """
)
NUMBER_WORDS = listed(
    """
    two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
    twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion dozen
    """
)
MONTHS = listed(
    """
    january february march april may june july august september october november december
    """
)
SEASONS = listed(
    """
    spring summer autumn fall winter
    """
)
PERSON_NOUNS = listed(
    """
    man woman boy girl person people king queen emperor president minister chancellor actor actress singer writer author poet
    painter artist composer musician politician lawyer judge engineer scientist physicist chemist researcher researchers
    scientists team colleagues doctor physician professor teacher student students participants patients volunteers director
    producer player footballer cricketer coach general soldier officer bishop pope priest saint monk philosopher historian
    journalist architect inventor founder leader businessman businesswoman mathematician economist astronaut swimmer boxer
    wrestler cyclist runner athlete novelist playwright filmmaker screenwriter comedian dancer model daughter son wife husband
    brother sister mother father prince princess duke duchess count countess earl baron lord lady nobleman member scholar
    guitarist drummer bassist rapper goalkeeper midfielder defender striker activist
    """
)
THING_NOUNS = listed(
    """
    film movie song album book novel series show band group company organisation organization magazine newspaper journal village
    town city district county river mountain lake island building church school university college station airport bridge museum
    game team club species genus plant animal disease drug theory law act treaty war battle ship aircraft car train language
    record single comedy drama play opera episode program programme software system study trial plot poem painting festival
    award league party agency
    """
)
PLACES = listed(
    """
    afghanistan albania algeria argentina armenia australia austria azerbaijan bangladesh belarus belgium bolivia bosnia brazil
    bulgaria burma cambodia cameroon canada chile china colombia croatia cuba cyprus denmark ecuador egypt england estonia
    ethiopia finland france georgia germany ghana greece greenland guatemala haiti hawaii hungary iceland india indonesia iran
    iraq ireland israel italy jamaica japan jordan kazakhstan kenya korea kuwait latvia lebanon libya lithuania luxembourg
    malaysia mali malta mexico moldova mongolia morocco mozambique nepal netherlands nicaragua nigeria norway pakistan palestine
    panama paraguay peru philippines poland portugal qatar romania russia rwanda scotland senegal serbia singapore slovakia
    slovenia somalia spain sudan sweden switzerland syria taiwan tanzania thailand tunisia turkey uganda ukraine uruguay
    uzbekistan venezuela vietnam wales yemen zambia zimbabwe britain prussia bohemia bavaria saxony brittany normandy tuscany
    lombardy sicily catalonia scandinavia siberia crimea persia europe asia africa america antarctica oceania alabama alaska
    arizona arkansas california colorado connecticut delaware florida idaho illinois indiana iowa kansas kentucky louisiana
    maine maryland massachusetts michigan minnesota mississippi missouri montana nebraska nevada ohio oklahoma oregon
    pennsylvania tennessee texas utah vermont virginia wisconsin wyoming ontario quebec manitoba alberta saskatchewan queensland
    victoria tasmania london paris berlin vienna rome madrid moscow tokyo beijing shanghai delhi mumbai kolkata chennai sydney
    melbourne toronto montreal vancouver chicago boston philadelphia houston dallas seattle detroit miami atlanta denver
    brussels amsterdam copenhagen stockholm oslo helsinki warsaw prague budapest athens lisbon dublin edinburgh glasgow
    manchester liverpool birmingham leeds bristol oxford cambridge munich hamburg cologne frankfurt leipzig dresden milan naples
    florence venice turin genoa bologna barcelona valencia seville lyon marseille geneva zurich istanbul constantinople
    jerusalem cairo baghdad tehran kabul nairobi lagos johannesburg jakarta manila bangkok singapore seoul osaka kyoto havana
    lima bogota santiago kiev minsk belgrade sofia bucharest zagreb hollywood manhattan brooklyn harlem sussex yorkshire kent
    essex surrey devon cornwall lancashire norfolk suffolk hampshire
    """
)
PLACE_NOUNS = listed(
    """
    city town village county state province district region country republic kingdom island river mountains valley street avenue
    park university college school hospital cathedral church abbey castle palace museum station bay lake sea ocean coast states
    union area cemetery stadium theatre theater hall airport
    """
)
LOCATING = listed(
    """
    born buried located situated based held built founded established settled live lives lived living die died raised grew work
    works worked study studied educated grown found headquartered published opened made moved took taken stationed filmed shot
    played performed arrested executed discovered native grow happen happened occur occurred
    """
)
TRANSITIVE_SOFT = listed(
    """
    said stated believed thought argued claimed noted felt knew reported suggested hoped concluded says states believes thinks
    argues claims notes feels knows reports suggests wanted tried began continued seemed appeared remained became become becomes
    seems appears remains means want try begin
    """
)
# What only persons do.
PERSONAL = listed(
    """
    marry divorce direct write compose paint invent coach sing portray graduate study teach retire die resign wed emigrate co-
    write
    """
)
CAUSATIVE = listed(
    """
    allow enable persuade cause force ask order help lead urge permit encourage require invite tell teach want see let make
    """
)
SOFT = TRANSITIVE_SOFT | listed(
    """
    say state believe think argue claim note feel know report suggest hope conclude want try begin continue seem appear remain
    become mean have
    """
)  # fmt: skip

# Base, past and participle of each.
_IRREGULAR = """
    be was been | become became become | begin began begun | bite bit bitten | blow blew blown | break broke broken |
    bring brought brought | build built built | buy bought bought | catch caught caught | choose chose chosen | come came come |
    cut cut cut | deal dealt dealt | dig dug dug | do did done | draw drew drawn | drink drank drunk | drive drove driven |
    eat ate eaten | fall fell fallen | feed fed fed | feel felt felt | fight fought fought | find found found | flee fled fled |
    fly flew flown | forbid forbade forbidden | forget forgot forgotten | freeze froze frozen | get got gotten |
    give gave given | go went gone | grow grew grown | hang hung hung | have had had | hear heard heard | hide hid hidden |
    hit hit hit | hold held held | hurt hurt hurt | keep kept kept | know knew known | lay laid laid | lead led led |
    leave left left | lend lent lent | let let let | lie lay lain | lose lost lost | make made made | mean meant meant |
    meet met met | pay paid paid | put put put | read read read | ride rode ridden | ring rang rung | rise rose risen |
    run ran run | say said said | see saw seen | seek sought sought | sell sold sold | send sent sent | set set set |
    shake shook shaken | shoot shot shot | show showed shown | shut shut shut | sing sang sung | sink sank sunk | sit sat sat |
    sleep slept slept | speak spoke spoken | spend spent spent | split split split | spread spread spread | stand stood stood |
    steal stole stolen | stick stuck stuck | strike struck struck | swear swore sworn | swim swam swum | take took taken |
    teach taught taught | tear tore torn | tell told told | think thought thought | throw threw thrown |
    understand understood understood | undergo underwent undergone | wake woke woken | wear wore worn | win won won |
    withdraw withdrew withdrawn | write wrote written | overcome overcame overcome | undertake undertook undertaken |
    bear bore born | forgive forgave forgiven | oversee oversaw overseen | overthrow overthrew overthrown |
    rebuild rebuilt rebuilt | retake retook retaken | weave wove woven | bind bound bound | breed bred bred | cast cast cast |
    cost cost cost | shed shed shed | bet bet bet | burst burst burst | broadcast broadcast broadcast |
    forecast forecast forecast | quit quit quit | rid rid rid | thrust thrust thrust | upset upset upset | spin spun spun |
    swing swung swung | sting stung stung
"""
PAST_TO_BASE: dict[str, str] = {}
PARTICIPLES: dict[str, str] = {}
for _entry in _IRREGULAR.split("|"):
    _base, _past, _participle = _entry.split()
    PAST_TO_BASE.setdefault(_past, _base)
    PARTICIPLES.setdefault(_participle, _base)
BASE_TO_PAST = {base: past for past, base in reversed(PAST_TO_BASE.items())}
_IRREGULAR_BASES = frozenset(PAST_TO_BASE.values())
# Verbs whose nouns are so common that the counts leave them out; looked up only behind an ending or an auxiliary.
_HIDDEN_BASES = listed(
    """
    study state name place list film book form move star base locate release direct produce locate use serve note house head
    host air tour rank code tune dance farm mine train land shape seat stage record murder rule
    """
)

# Pairs that a person would swap in a question without changing what is asked.
SYNONYMS = {
    "begin": "start", "start": "begin", "large": "big", "big": "large", "film": "movie", "movie": "film", "purchase": "buy",
    "buy": "purchase", "located": "situated", "located in": "found in", "founded": "established", "established": "founded",
    "created": "made", "receive": "get", "obtain": "get", "die": "pass away", "approximately": "about", "children": "kids",
    "car": "automobile", "physician": "doctor", "medicine": "drug", "medicines": "drugs", "medication": "medicine",
    "illness": "disease", "disease": "illness", "effects": "results", "assist": "help", "help": "assist", "require": "need",
    "need": "require", "show": "display", "occur": "happen", "happen": "occur", "contain": "include", "include": "contain",
    "main": "primary", "primary": "main", "purpose": "aim", "job": "occupation", "wife": "spouse", "famous": "well known",
    "constructed": "built", "built": "constructed", "commence": "begin", "ended": "finished", "attempt": "try",
    "reduce": "lower", "lower": "reduce", "increase": "raise", "quick": "fast", "error": "mistake", "allow": "let",
    "permit": "allow", "people": "persons", "company": "firm", "firm": "company", "university": "college", "employ": "use",
    "use": "employ", "choose": "select", "select": "choose", "answer": "reply", "important": "significant", "parts": "pieces",
}  # fmt: skip


# How a stem ends that lost a mute e before -ed: "located", "inspired", "explored".
_MUTE_E = tuple(
    "at iz is uc id ur mir plor quir spir pir clar par mier nor fin bin min ag rg v c s u g".split()  # noqa: SIM905 - as above
)


@lru_cache(maxsize=50_000)
def base_of(verb: str) -> str | None:
    """The base form of a lower-cased verb form; None where it is not known as one."""
    bases = read_lexicon()["bases"]
    if verb in BE or verb in HAVE or verb in DO:
        return (BE | HAVE | DO)[verb]
    if verb in PAST_TO_BASE:
        return PAST_TO_BASE[verb]
    if verb in PARTICIPLES:
        return PARTICIPLES[verb]
    if verb in bases or verb in _IRREGULAR_BASES:
        return verb
    if verb.endswith("ed"):
        return _from_ed(verb, bases)
    if verb.endswith("s"):
        for stem in (
            ([verb[:-3] + "y"] if verb.endswith("ies") else []) + [verb[:-1]] + ([verb[:-2]] if verb.endswith("es") else [])
        ):
            if stem in bases or stem in _IRREGULAR_BASES or stem in _HIDDEN_BASES:
                return stem
    return None


def _from_ed(verb: str, bases: frozenset[str]) -> str | None:
    if verb.endswith("ied"):
        return verb[:-3] + "y"
    candidates = [verb[:-1], verb[:-2]]
    if len(verb) > 5 and verb[-3] == verb[-4]:
        candidates.insert(0, verb[:-3])
    for stem in candidates:
        if stem in bases or stem in _HIDDEN_BASES:
            return stem
    stem = verb[:-2]
    # One syllable that ends in a single vowel and a consonant would have doubled it: "scored" is of "score".
    if re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", stem) or re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", stem.removeprefix("re")):
        return verb[:-1]
    if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "sl":
        return stem[:-1]
    if stem.endswith(_MUTE_E) and not stem.endswith("ss"):
        return verb[:-1]
    return stem if len(stem) > 2 else None


def is_first_name(word: str) -> bool:
    return word in read_lexicon()["names"] and word.lower() not in ADJECTIVES
