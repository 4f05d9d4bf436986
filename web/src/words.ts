// All words of the client, in English and German. Nothing else in the client holds a text that a reader sees.
import { BlockReason, Stage } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import type { Standing } from "./turn/runs.js";

const documentsEn = (n: number) => (n === 1 ? "1 document" : `${number(n, "en")} documents`);
const passagesEn = (n: number) => (n === 1 ? "1 passage" : `${number(n, "en")} passages`);
const documentsDe = (n: number) => (n === 1 ? "1 Dokument" : `${number(n, "de")} Dokumenten`);
const passagesDe = (n: number) => (n === 1 ? "1 Textstelle" : `${number(n, "de")} Textstellen`);

function number(n: number, lang: string): string {
  return new Intl.NumberFormat(lang).format(n);
}

function seconds(ms: number, lang: string): string {
  if (ms < 95) return `${number(Math.max(1, Math.round(ms)), lang)} ms`;
  const digits = ms < 10_000 ? 1 : 0;
  return `${new Intl.NumberFormat(lang, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(ms / 1000)} s`;
}

const en = {
  // The frame
  conversations: "Conversations",
  newConversation: "New conversation",
  noConversations: "Your conversations will be listed here.",
  openConversations: "Show conversations",
  closeConversations: "Hide conversations",
  deleteConversation: (title: string) => `Delete “${title}”`,
  deleteTitle: "Delete this conversation?",
  deleteText: "It is removed from the server with all its answers. This cannot be undone.",
  deleteConfirm: "Delete",
  cancel: "Cancel",
  close: "Close",
  untitled: "Untitled",
  moreConversations: "Show more",
  earlierAnswers: "Loading earlier answers",
  theme: "Appearance",
  themeSystem: "System",
  themeLight: "Light",
  themeDark: "Dark",
  language: "Language",
  help: "Keyboard shortcuts",
  skip: "Skip to the question box",
  transcript: "Questions and answers",
  jump: "Jump to latest",
  backToStart: "Back to the assistant",
  // First visit
  intro: (n: number | undefined) =>
    n === undefined ? "Answers from its documents. Every claim shows its source." : `Answers from ${documentsEn(n)}. Every claim shows its source.`,
  library: (n: number) => `${n === 1 ? "1 document is" : `${number(n, "en")} documents are`} in the library.`,
  tryAsking: "Try asking",
  unreachable: "The assistant cannot be reached right now.",
  tryAgain: "Try again",
  // The composer
  question: "Your question",
  ask: (name: string) => `Ask ${name}`,
  askPlain: "Ask a question",
  send: "Send",
  stop: "Stop",
  tooLong: "This question is longer than can be asked. Please shorten it.",
  // Stages
  stage: (stage: Stage, count: number | undefined, done: boolean): string => {
    switch (stage) {
      case Stage.CHECKING:
        return done ? "Checked" : "Checking your question";
      case Stage.SEARCHING:
        return count ? `${done ? "Searched" : "Searching"} ${documentsEn(count)}` : done ? "Searched" : "Searching";
      case Stage.READING:
        return count ? `${done ? "Read" : "Reading"} ${passagesEn(count)}` : done ? "Read" : "Reading";
      case Stage.WRITING:
        return done ? "Written" : "Writing";
      default:
        return done ? "Done" : "Working";
    }
  },
  stageName: (stage: Stage): string =>
    ({ [Stage.CHECKING]: "Checking", [Stage.SEARCHING]: "Searching", [Stage.READING]: "Reading", [Stage.WRITING]: "Writing", [Stage.UNSPECIFIED]: "Other" })[stage] ??
    "Other",
  sending: "Sending",
  summary: (ms: number | undefined, passages: number) =>
    [ms === undefined ? "" : seconds(ms, "en"), passages ? passagesEn(passages) : ""].filter(Boolean).join(", ") || "Done",
  how: "How this was answered",
  models: "Models",
  trace: "Trace",
  tokens: "Tokens",
  tokensValue: (input: number, output: number) => `${number(input, "en")} read, ${number(output, "en")} written`,
  confidence: "Confidence",
  confidenceWord: (c: number): string => (c >= 0.75 ? "High" : c >= 0.4 ? "Medium" : "Low"),
  elapsed: (ms: number) => (ms < 1000 ? `${number(Math.round(ms), "en")} ms` : seconds(ms, "en")),
  copied: "Copied",
  // Sources
  sources: "Sources",
  sourcesCount: (n: number) => (n === 1 ? "1 source" : `${n} sources`),
  sourcesEmpty: "Passages appear here as soon as they are found, before the answer is written.",
  sourcesNone: "This answer rests on no passage.",
  sourceLabel: (n: number, title: string, standing: string) => `Source ${n}: ${title}. ${standing}.`,
  passageOf: (title: string) => `Passage from ${title}`,
  allSources: "All sources",
  previousCitation: "Previous citation",
  nextCitation: "Next citation",
  citationOf: (i: number, n: number) => `Citation ${i} of ${n}`,
  notCited: "Found, not cited",
  cited: (n: number) => `Cited as ${n}`,
  moreContext: "Show more around it",
  openSource: "Open source",
  source: "Source",
  versionOf: (date: string) => `Version of ${date}`,
  whySource: "Why this source?",
  scoreDense: "Similar in meaning",
  scoreSparse: "Same words (BM25)",
  scoreFused: "Both together",
  scoreRerank: "After rereading",
  foundBy: "Found by",
  passageGone: "The document has changed since. This is the passage as it was answered from.",
  passageGoneEmpty: "The document has changed since, so its passage can no longer be shown.",
  passageFailed: "The text around the passage could not be loaded.",
  loading: "Loading",
  // Claims
  standing: (standing: Standing): string =>
    ({ verified: "Verified", partly: "Partly", unverified: "Unverified", contradicted: "Sources disagree" })[standing],
  standingText: (standing: Standing): string =>
    ({
      verified: "The cited words carry this sentence.",
      partly: "The cited words carry a part of this sentence.",
      unverified: "Nobody could check this sentence against its source.",
      contradicted: "A source says otherwise.",
    })[standing],
  // Outcomes
  you: "You asked",
  notKept: "(This question was not kept.)",
  answer: "Answer",
  abstained: "The documents do not answer this.",
  abstainedText: (n: number) => (n ? `I searched ${documentsEn(n)} and found nothing that answers it.` : "I found nothing that answers it."),
  abstainedSearched: (n: number) => (n ? `I searched ${documentsEn(n)}.` : "I found nothing that answers it."),
  nearest: "What came nearest",
  rephrase: "Rephrase the question",
  partial: "This is a part of the answer.",
  partialText: "The documents do not say the rest, or do not carry it well enough to be said.",
  clarification: "I need to know a little more.",
  blocked: "I did not take this question.",
  blockedAnswer: "I withheld this answer.",
  blockReason: (reason: BlockReason): string =>
    ({
      [BlockReason.UNSPECIFIED]: "It does not pass the rules of this assistant.",
      [BlockReason.INSTRUCTION_OVERRIDE]: "It tries to change how I work.",
      [BlockReason.PROMPT_EXTRACTION]: "It asks for my own instructions.",
      [BlockReason.UNSAFE_CONTENT]: "It holds code or hidden text.",
      [BlockReason.UNREADABLE]: "I could not find any readable text in it.",
      [BlockReason.TOO_LONG]: "It is longer than may be asked.",
      [BlockReason.UNSUPPORTED]: "The sources did not carry what I had drafted.",
      [BlockReason.OFF_TOPIC]: "It is not about what I am here for.",
      [BlockReason.LANGUAGE]: "It is not in a language that I answer in.",
      [BlockReason.PERSONAL_DATA]: "It holds personal data or a password.",
    })[reason] ?? "It does not pass the rules of this assistant.",
  editQuestion: "Edit the question",
  stopped: "Stopped. What was written is kept.",
  stoppedEmpty: "Stopped before anything was written.",
  continue: "Continue",
  notTaken: "I could not take this question right now.",
  failed: "This answer could not be finished.",
  failedKept: (sentences: boolean, passages: number) =>
    sentences ? "What was written is kept." : passages ? `${passages === 1 ? "The passage that was" : `The ${passages} passages that were`} found ${passages === 1 ? "is" : "are"} kept.` : "Your question is kept.",
  askAgain: "Ask again",
  askAgainIn: (s: number) => `Ask again in ${s} s`,
  askInNew: "Ask in a new conversation",
  showRunning: "Show the running answer",
  turnId: "Turn",
  failure: (reason: string): string =>
    ({
      RATE_LIMITED: "You have asked many questions in a short time.",
      OVERLOADED: "Many people are asking right now.",
      MODEL_UNAVAILABLE: "The model does not answer right now.",
      SERVICE_UNAVAILABLE: "A part of the assistant does not answer right now.",
      STORE_UNAVAILABLE: "The store cannot be written right now.",
      DRAINING: "The assistant is restarting.",
      DEADLINE_EXCEEDED: "It took longer than allowed.",
      CONVERSATION_FULL: "This conversation is as long as it may get.",
      CONVERSATION_NOT_FOUND: "This conversation is no longer there.",
      TURN_NOT_FOUND: "This answer is no longer there.",
      TURN_IN_PROGRESS: "Another answer is still being written in this conversation.",
      TURN_INTERRUPTED: "The process that was answering went away.",
      TURN_TOO_LARGE: "The answer grew longer than it may get.",
      REQUEST_TOO_LARGE: "The question is longer than can be asked.",
      INVALID_REQUEST: "The question was not understood by the server.",
      UNAUTHENTICATED: "Your session could not be renewed.",
      PERMISSION_DENIED: "You may not ask here.",
      LOST: "The connection was lost and did not come back.",
    })[reason] ?? "Something went wrong on the server.",
  degraded: (skipped: string) => `Without ${skipped}`,
  degradedText: "The answer was made with less than usual.",
  retracted: "A sentence was taken back.",
  retractedWhy: (reason: BlockReason): string =>
    reason === BlockReason.UNSUPPORTED ? "A sentence was taken back: its sources do not carry it." : "A sentence was taken back after a check.",
  // Actions below an answer
  copy: "Copy with citations",
  thumbUp: "Good answer",
  thumbDown: "Bad answer",
  why: "What was wrong? (optional)",
  sendReason: "Send",
  thanks: "Thank you. Your opinion is kept.",
  ratingFailed: "Your opinion could not be kept. Please try again.",
  suggestions: "You could ask next",
  sourcesHeading: "Sources:",
  // The connection
  lost: "Connection lost. Your answer is kept.",
  lostQuestion: "Connection lost. Your question is kept.",
  offline: "You are offline.",
  reconnecting: "Trying to reconnect",
  tryNow: "Try now",
  resumed: "Connected again.",
  loadFailed: "This conversation could not be loaded.",
  deleteFailed: "The conversation could not be deleted.",
  stopFailed: "The answer could not be stopped.",
  // Help
  shortcuts: [
    ["/", "Go to the question box"],
    ["Enter", "Send"],
    ["Shift + Enter", "New line"],
    ["Esc", "Stop the answer, then close"],
    ["[  ]", "Previous, next citation"],
    ["Alt + N", "New conversation"],
    ["Alt + ↑  ↓", "Previous, next question"],
    ["?", "This list"],
  ] as readonly (readonly [string, string])[],
  singleKeys: "Single-key shortcuts ( / [ ] ? )",
  privacy: "Runs on this server alone. Nothing leaves it.",
};

/** The words of one language. */
export type Words = typeof en;

const de: Words = {
  conversations: "Unterhaltungen",
  newConversation: "Neue Unterhaltung",
  noConversations: "Hier stehen später deine Unterhaltungen.",
  openConversations: "Unterhaltungen zeigen",
  closeConversations: "Unterhaltungen ausblenden",
  deleteConversation: (title) => `„${title}“ löschen`,
  deleteTitle: "Diese Unterhaltung löschen?",
  deleteText: "Sie wird mit allen Antworten vom Server entfernt. Das lässt sich nicht rückgängig machen.",
  deleteConfirm: "Löschen",
  cancel: "Abbrechen",
  close: "Schließen",
  untitled: "Ohne Titel",
  moreConversations: "Mehr zeigen",
  earlierAnswers: "Frühere Antworten werden geladen",
  theme: "Darstellung",
  themeSystem: "System",
  themeLight: "Hell",
  themeDark: "Dunkel",
  language: "Sprache",
  help: "Tastenkürzel",
  skip: "Zum Eingabefeld springen",
  transcript: "Fragen und Antworten",
  jump: "Zum Neuesten",
  backToStart: "Zurück zum Assistenten",
  intro: (n) =>
    n === undefined ? "Antwortet aus seinen Dokumenten. Jede Aussage zeigt ihre Quelle." : `Antwortet aus ${documentsDe(n)}. Jede Aussage zeigt ihre Quelle.`,
  library: (n) => `${n === 1 ? "1 Dokument ist" : `${number(n, "de")} Dokumente sind`} in der Bibliothek.`,
  tryAsking: "Frag zum Beispiel",
  unreachable: "Der Assistent ist gerade nicht zu erreichen.",
  tryAgain: "Erneut versuchen",
  question: "Deine Frage",
  ask: (name) => `Frag ${name}`,
  askPlain: "Stell eine Frage",
  send: "Senden",
  stop: "Anhalten",
  tooLong: "Diese Frage ist länger als erlaubt. Bitte kürze sie.",
  stage: (stage, count, done) => {
    switch (stage) {
      case Stage.CHECKING:
        return done ? "Geprüft" : "Prüft deine Frage";
      case Stage.SEARCHING:
        return count ? (done ? `In ${documentsDe(count)} gesucht` : `Sucht in ${documentsDe(count)}`) : done ? "Gesucht" : "Sucht";
      case Stage.READING:
        return count ? (done ? `${passagesDe(count)} gelesen` : `Liest ${passagesDe(count)}`) : done ? "Gelesen" : "Liest";
      case Stage.WRITING:
        return done ? "Geschrieben" : "Schreibt";
      default:
        return done ? "Fertig" : "Arbeitet";
    }
  },
  stageName: (stage) =>
    ({ [Stage.CHECKING]: "Prüfen", [Stage.SEARCHING]: "Suchen", [Stage.READING]: "Lesen", [Stage.WRITING]: "Schreiben", [Stage.UNSPECIFIED]: "Anderes" })[stage] ??
    "Anderes",
  sending: "Wird gesendet",
  summary: (ms, passages) =>
    [ms === undefined ? "" : seconds(ms, "de"), passages ? passagesDe(passages) : ""].filter(Boolean).join(", ") || "Fertig",
  how: "Wie diese Antwort entstand",
  models: "Modelle",
  trace: "Trace",
  tokens: "Tokens",
  tokensValue: (input, output) => `${number(input, "de")} gelesen, ${number(output, "de")} geschrieben`,
  confidence: "Sicherheit",
  confidenceWord: (c) => (c >= 0.75 ? "Hoch" : c >= 0.4 ? "Mittel" : "Gering"),
  elapsed: (ms) => (ms < 1000 ? `${number(Math.round(ms), "de")} ms` : seconds(ms, "de")),
  copied: "Kopiert",
  sources: "Quellen",
  sourcesCount: (n) => (n === 1 ? "1 Quelle" : `${n} Quellen`),
  sourcesEmpty: "Textstellen erscheinen hier, sobald sie gefunden sind, noch vor der Antwort.",
  sourcesNone: "Diese Antwort stützt sich auf keine Textstelle.",
  sourceLabel: (n, title, standing) => `Quelle ${n}: ${title}. ${standing}.`,
  passageOf: (title) => `Textstelle aus ${title}`,
  allSources: "Alle Quellen",
  previousCitation: "Voriges Zitat",
  nextCitation: "Nächstes Zitat",
  citationOf: (i, n) => `Zitat ${i} von ${n}`,
  notCited: "Gefunden, nicht zitiert",
  cited: (n) => `Zitiert als ${n}`,
  moreContext: "Mehr vom Umfeld zeigen",
  openSource: "Quelle öffnen",
  source: "Quelle",
  versionOf: (date) => `Fassung vom ${date}`,
  whySource: "Warum diese Quelle?",
  scoreDense: "Ähnlich im Sinn",
  scoreSparse: "Gleiche Wörter (BM25)",
  scoreFused: "Beides zusammen",
  scoreRerank: "Nach zweitem Lesen",
  foundBy: "Gefunden durch",
  passageGone: "Das Dokument hat sich seither geändert. Dies ist die Textstelle, aus der geantwortet wurde.",
  passageGoneEmpty: "Das Dokument hat sich seither geändert; die Textstelle kann nicht mehr gezeigt werden.",
  passageFailed: "Der Text um die Stelle konnte nicht geladen werden.",
  loading: "Lädt",
  standing: (standing) =>
    ({ verified: "Geprüft", partly: "Teilweise", unverified: "Ungeprüft", contradicted: "Quellen widersprechen" })[standing],
  standingText: (standing) =>
    ({
      verified: "Die zitierten Worte tragen diesen Satz.",
      partly: "Die zitierten Worte tragen einen Teil dieses Satzes.",
      unverified: "Dieser Satz konnte nicht an seiner Quelle geprüft werden.",
      contradicted: "Eine Quelle sagt etwas anderes.",
    })[standing],
  you: "Du hast gefragt",
  notKept: "(Diese Frage wurde nicht aufbewahrt.)",
  answer: "Antwort",
  abstained: "Die Dokumente beantworten das nicht.",
  abstainedText: (n) => (n ? `Ich habe in ${documentsDe(n)} gesucht und nichts gefunden, was das beantwortet.` : "Ich habe nichts gefunden, was das beantwortet."),
  abstainedSearched: (n) => (n ? `Ich habe in ${documentsDe(n)} gesucht.` : "Ich habe nichts gefunden, was das beantwortet."),
  nearest: "Was am nächsten kam",
  rephrase: "Frage anders stellen",
  partial: "Das ist ein Teil der Antwort.",
  partialText: "Den Rest sagen die Dokumente nicht, oder sie tragen ihn nicht gut genug.",
  clarification: "Dazu muss ich noch etwas wissen.",
  blocked: "Diese Frage habe ich nicht angenommen.",
  blockedAnswer: "Diese Antwort habe ich zurückgehalten.",
  blockReason: (reason) =>
    ({
      [BlockReason.UNSPECIFIED]: "Sie passt nicht zu den Regeln dieses Assistenten.",
      [BlockReason.INSTRUCTION_OVERRIDE]: "Sie versucht zu ändern, wie ich arbeite.",
      [BlockReason.PROMPT_EXTRACTION]: "Sie fragt nach meinen eigenen Anweisungen.",
      [BlockReason.UNSAFE_CONTENT]: "Sie enthält Code oder versteckten Text.",
      [BlockReason.UNREADABLE]: "Ich habe darin keinen lesbaren Text gefunden.",
      [BlockReason.TOO_LONG]: "Sie ist länger, als gefragt werden darf.",
      [BlockReason.UNSUPPORTED]: "Die Quellen trugen nicht, was ich entworfen hatte.",
      [BlockReason.OFF_TOPIC]: "Sie betrifft nichts, wofür ich da bin.",
      [BlockReason.LANGUAGE]: "Sie ist in keiner Sprache, in der ich antworte.",
      [BlockReason.PERSONAL_DATA]: "Sie enthält persönliche Daten oder ein Passwort.",
    })[reason] ?? "Sie passt nicht zu den Regeln dieses Assistenten.",
  editQuestion: "Frage bearbeiten",
  stopped: "Angehalten. Was geschrieben ist, bleibt.",
  stoppedEmpty: "Angehalten, bevor etwas geschrieben war.",
  continue: "Weiter",
  notTaken: "Diese Frage konnte ich gerade nicht annehmen.",
  failed: "Diese Antwort konnte nicht beendet werden.",
  failedKept: (sentences, passages) =>
    sentences ? "Was geschrieben ist, bleibt." : passages ? `${passages === 1 ? "Die gefundene Textstelle bleibt" : `Die ${passages} gefundenen Textstellen bleiben`}.` : "Deine Frage bleibt.",
  askAgain: "Erneut fragen",
  askAgainIn: (s) => `Erneut fragen in ${s} s`,
  askInNew: "In neuer Unterhaltung fragen",
  showRunning: "Laufende Antwort zeigen",
  turnId: "Turn",
  failure: (reason) =>
    ({
      RATE_LIMITED: "Du hast in kurzer Zeit viele Fragen gestellt.",
      OVERLOADED: "Gerade fragen viele Leute.",
      MODEL_UNAVAILABLE: "Das Modell antwortet gerade nicht.",
      SERVICE_UNAVAILABLE: "Ein Teil des Assistenten antwortet gerade nicht.",
      STORE_UNAVAILABLE: "Der Speicher kann gerade nicht beschrieben werden.",
      DRAINING: "Der Assistent startet neu.",
      DEADLINE_EXCEEDED: "Es hat länger gedauert als erlaubt.",
      CONVERSATION_FULL: "Diese Unterhaltung ist so lang, wie sie werden darf.",
      CONVERSATION_NOT_FOUND: "Diese Unterhaltung gibt es nicht mehr.",
      TURN_NOT_FOUND: "Diese Antwort gibt es nicht mehr.",
      TURN_IN_PROGRESS: "In dieser Unterhaltung wird noch eine andere Antwort geschrieben.",
      TURN_INTERRUPTED: "Der Prozess, der geantwortet hat, ist verschwunden.",
      TURN_TOO_LARGE: "Die Antwort wurde länger, als sie werden darf.",
      REQUEST_TOO_LARGE: "Die Frage ist länger, als gefragt werden darf.",
      INVALID_REQUEST: "Der Server hat die Frage nicht verstanden.",
      UNAUTHENTICATED: "Deine Sitzung konnte nicht erneuert werden.",
      PERMISSION_DENIED: "Du darfst hier nicht fragen.",
      LOST: "Die Verbindung brach ab und kam nicht zurück.",
    })[reason] ?? "Auf dem Server ist etwas schiefgegangen.",
  degraded: (skipped) => `Ohne ${skipped}`,
  degradedText: "Die Antwort entstand mit weniger als sonst.",
  retracted: "Ein Satz wurde zurückgenommen.",
  retractedWhy: (reason) =>
    reason === BlockReason.UNSUPPORTED ? "Ein Satz wurde zurückgenommen: Seine Quellen tragen ihn nicht." : "Ein Satz wurde nach einer Prüfung zurückgenommen.",
  copy: "Mit Zitaten kopieren",
  thumbUp: "Gute Antwort",
  thumbDown: "Schlechte Antwort",
  why: "Was war falsch? (freiwillig)",
  sendReason: "Senden",
  thanks: "Danke. Deine Meinung ist vermerkt.",
  ratingFailed: "Deine Meinung konnte nicht vermerkt werden. Bitte versuch es noch einmal.",
  suggestions: "Das könntest du als Nächstes fragen",
  sourcesHeading: "Quellen:",
  lost: "Verbindung verloren. Deine Antwort bleibt erhalten.",
  lostQuestion: "Verbindung verloren. Deine Frage bleibt erhalten.",
  offline: "Du bist offline.",
  reconnecting: "Verbindet neu",
  tryNow: "Jetzt versuchen",
  resumed: "Wieder verbunden.",
  loadFailed: "Diese Unterhaltung konnte nicht geladen werden.",
  deleteFailed: "Die Unterhaltung konnte nicht gelöscht werden.",
  stopFailed: "Die Antwort konnte nicht angehalten werden.",
  shortcuts: [
    ["/", "Zum Eingabefeld"],
    ["Enter", "Senden"],
    ["Umschalt + Enter", "Neue Zeile"],
    ["Esc", "Antwort anhalten, dann schließen"],
    ["[  ]", "Voriges, nächstes Zitat"],
    ["Alt + N", "Neue Unterhaltung"],
    ["Alt + ↑  ↓", "Vorige, nächste Frage"],
    ["?", "Diese Liste"],
  ],
  singleKeys: "Kürzel mit einer Taste ( / [ ] ? )",
  privacy: "Läuft nur auf diesem Server. Nichts verlässt ihn.",
};

/** The languages of the client. */
export const LANGUAGES = { en: "English", de: "Deutsch" } as const;
export type Language = keyof typeof LANGUAGES;

const KEY = "ragmesh.language";
const ALL: Record<Language, Words> = { en, de };

/** The language that was chosen here before, else the browser's, else English. */
export function preferredLanguage(): Language {
  const wanted = [localStorage.getItem(KEY) ?? "", ...navigator.languages];
  for (const tag of wanted) {
    const language = tag.slice(0, 2).toLowerCase();
    if (language in ALL) return language as Language;
  }
  return "en";
}

export let language: Language = "en";
/** The words of the current language. */
export let words: Words = en;

/** Switches the language; `keep` remembers it. The caller renders anew. */
export function setLanguage(next: Language, keep: boolean): void {
  language = next;
  words = ALL[next];
  document.documentElement.lang = next;
  if (keep) localStorage.setItem(KEY, next);
}

/** The current language with the reader's region, where the browser names one: it decides how dates look. */
function locale(): string {
  return navigator.languages.find((tag) => tag.startsWith(language)) ?? language;
}

/** A date as it is written in the current language. */
export function dateWords(ms: number): string {
  return new Intl.DateTimeFormat(locale(), { dateStyle: "medium" }).format(ms);
}

/** The hour for today, a date for every other day. */
export function momentWords(ms: number): string {
  const today = new Date().toDateString() === new Date(ms).toDateString();
  return new Intl.DateTimeFormat(locale(), today ? { timeStyle: "short" } : { day: "numeric", month: "short" }).format(ms);
}
